"""The plain path: requests of text in padded, static batches, for models the engine can't drive."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

from evalcore.protocols import Completion, Finished, GenerateRequest, Loglikelihood, Piece
from evalcore.records import Efficiency
from runners.hf.batching import decoding_batches, make_batches
from runners.hf.encoding import Encoder
from runners.hf.generation import RowStop, decode_batch
from runners.hf.loading import Base
from runners.hf.scoring import score_spans
from runners.hf.streaming import stream_batches
from runners.options import RunnerOptions
from runners.results import batch_completed, peak_memory_bytes, request_seed, total
from runners.token_work import TokenWork, Work

__all__ = ["PlainRunner"]


class PlainRunner:
    """Answers requests of text on a resident base, in static batches.

    Parameters
    ----------
    encoder, work
        Of the variant.
    ready
        Returns the base with the variant's adapters in place; asked before each batch.
    options
        Sizes of batches.
    size_on_disk_bytes
        Of base and adapters.
    """

    def __init__(
        self,
        encoder: Encoder,
        work: TokenWork,
        *,
        ready: Callable[[], Base],
        options: RunnerOptions,
        size_on_disk_bytes: int,
    ) -> None:
        self._encoder = encoder
        self._work = work
        self._ready = ready
        self._options = options
        self._size_on_disk_bytes = size_on_disk_bytes

    def generate(
        self, requests: Sequence[GenerateRequest], prompts: Sequence[list[int]]
    ) -> Iterator[Finished[Completion]]:
        """Continue each prompt; those together that differ in nothing but prompts and seeds."""
        for members in self.decoding_plan(requests, prompts):
            some = [requests[index] for index in members]
            params = replace(some[0].params, seed=0)
            room = self._work.window - params.max_new_tokens
            whole = [prompts[index] for index in members]
            read = [prompt[-room:] for prompt in whole]
            ending = self._work.ending(params)
            decoded = decode_batch(
                self._ready().model,
                read,
                params=params,
                seeds=[request_seed(request) for request in some],
                stop=RowStop(ending, self._encoder.decode),
            )
            yield batch_completed(
                members,
                list(zip(map(len, read), map(len, whole), strict=True)),
                decoded=decoded,
                texts=ending.texts(decoded.tokens, self._encoder.decode),
                size_on_disk_bytes=self._size_on_disk_bytes,
            )

    def stream(
        self,
        requests: Sequence[GenerateRequest],
        prompts: Sequence[list[int]],
        *,
        wanted: Callable[[int], bool],
    ) -> Generator[Sequence[Piece], None, None]:
        """Yield the answers' pieces step by step, one batch after the other."""
        return stream_batches(
            self._ready().model,
            self._work.jobs(requests, prompts),
            batches=self.decoding_plan(requests, prompts),
            decode=self._encoder.decode,
            wanted=wanted,
        )

    def decoding_plan(
        self, requests: Sequence[GenerateRequest], prompts: Sequence[Sequence[int]]
    ) -> Iterator[list[int]]:
        """Yield which requests are decoded together, by position."""
        return decoding_batches(requests, [len(prompt) for prompt in prompts], self._options)

    def score(self, work: Work) -> Iterator[Finished[Loglikelihood]]:
        """Score requests, each of which is none, one or several spans."""
        lengths = _lengths(work)
        for members in self.scoring_plan(work):
            start = time.perf_counter()
            scored = self._scored([work[index] for index in members])
            took = Efficiency(
                prefill_tokens=sum(lengths[index] for index in members),
                prefill_s=time.perf_counter() - start,
                peak_memory_bytes=peak_memory_bytes(),
                size_on_disk_bytes=self._size_on_disk_bytes,
            )
            yield Finished(list(zip(members, map(total, scored), strict=True)), took)

    def scoring_plan(self, work: Work) -> list[list[int]]:
        """Return which requests are scored together, by position."""
        return make_batches(_lengths(work), self._options)

    def _scored(self, work: Work) -> list[list[Loglikelihood]]:
        """Score each request's spans; those of all requests are batched together."""
        model = self._ready().model
        rows = [(place, span) for place, spans in enumerate(work) for span in spans]
        scored: list[list[Loglikelihood]] = [[] for _ in work]
        for batch in make_batches([len(span.inputs) for _, span in rows], self._options):
            results = score_spans(model, [rows[at][1] for at in batch])
            for at, result in zip(batch, results, strict=True):
                scored[rows[at][0]].append(result)
        return scored


def _lengths(work: Work) -> list[int]:
    return [sum(len(span.inputs) for span in spans) for spans in work]
