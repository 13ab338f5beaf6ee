"""Requests to a model of vLLM; see :class:`evalcore.protocols.Runner`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from evalcore.protocols import Completion, Finished, GenerateRequest, Loglikelihood, Request
from evalcore.records import Efficiency, ModelSpec
from runners.hf.encoding import Encoder
from runners.hf.scoring import Span
from runners.results import peak_memory_bytes, total
from runners.token_runner import TokenRunner
from runners.token_work import Work
from runners.vllm_engine.arguments import (
    SCORING,
    read_logprobs,
    sampling_arguments,
    scored_prompt,
    text_window,
)

if TYPE_CHECKING:
    from runners.vllm_engine.resident import VllmResident

__all__ = ["VllmRunner"]

_PIECE: Final = 1024
"""Requests that vLLM gets together; what is ready is stored when all of them are."""

ItemT = TypeVar("ItemT")


class VllmRunner(TokenRunner):
    """A variant of a resident base.

    Requests mean what they mean to :class:`runners.hf.runner.HfRunner`: text is tokenised, cut and
    ended by the same rules, but for a window that is two tokens shorter. vLLM batches as it likes,
    so that results repeat up to rounding; a sampled answer repeats by its seed, but is another one
    than transformers draws.

    Parameters
    ----------
    spec
        Resolved.
    resident
        Its base; closing the runner leaves it there.
    """

    def __init__(self, spec: ModelSpec, *, resident: VllmResident) -> None:
        super().__init__(
            spec,
            encoder=Encoder(resident.tokenizer, spec),
            window=text_window(resident.max_len),
            end_tokens=frozenset(resident.end_tokens),
        )
        self._resident = resident

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt.

        A prompt that leaves no room for ``max_new_tokens`` in the window is cut on its left, and
        what was cut is counted in ``n_truncated``.

        Raises
        ------
        InputError
            For sampling parameters outside their ranges.
        """
        prompts = self._work.prompts(requests)
        jobs = self._work.jobs(requests, prompts)
        for places in _pieces(range(len(jobs))):
            start = time.perf_counter()
            some = [jobs[place] for place in places]
            outputs = self._resident.run(
                self._spec,
                [job.prompt for job in some],
                [sampling_arguments(j.params, seed=j.seed, ending=j.ending) for j in some],
            )
            took_s = time.perf_counter() - start
            results = []
            for place, job, output in zip(places, some, outputs, strict=True):
                answer = output.outputs[0]
                tokens = list(answer.token_ids)
                (text,) = job.ending.texts([tokens], self._encoder.decode)
                completion = Completion(
                    text=text,
                    finish_reason="length" if answer.finish_reason == "length" else "stop",
                    prompt_tokens=len(job.prompt),
                    completion_tokens=len(tokens),
                    duration_s=took_s / len(some),
                    n_truncated=len(prompts[place]) - len(job.prompt),
                )
                results.append((place, completion))
            yield Finished(results, self._decoding(results, took_s))

    def close(self) -> None:
        """Let go of the base, which is the resident's."""

    def _score(
        self, work: Callable[[], Work], requests: Sequence[Request]
    ) -> Iterator[Finished[Loglikelihood]]:
        by_request = work()
        for places in _pieces(range(len(requests))):
            start = time.perf_counter()
            spans = [span for place in places for span in by_request[place]]
            scored = iter(self._scored(spans))
            results = [(at, total([next(scored) for _ in by_request[at]])) for at in places]
            took = Efficiency(
                prefill_tokens=sum(len(span.inputs) for span in spans),
                prefill_s=time.perf_counter() - start,
                peak_memory_bytes=peak_memory_bytes(),
                size_on_disk_bytes=self._resident.size_on_disk_bytes,
            )
            yield Finished(results, took)

    def _scored(self, spans: Sequence[Span]) -> list[Loglikelihood]:
        if not spans:
            return []
        prompts = [scored_prompt(span.inputs, span.targets) for span in spans]
        outputs = self._resident.run(self._spec, prompts, [SCORING] * len(spans))
        return [
            read_logprobs(output.prompt_logprobs, span.targets, n_truncated=span.n_truncated)
            for span, output in zip(spans, outputs, strict=True)
        ]

    def _decoding(self, results: Sequence[tuple[int, Completion]], took_s: float) -> Efficiency:
        """Count all time as decoding: vLLM reads prompts while it decodes others."""
        return Efficiency(
            prefill_tokens=sum(completion.prompt_tokens for _, completion in results),
            decode_tokens=sum(completion.completion_tokens for _, completion in results),
            decode_s=took_s,
            peak_memory_bytes=peak_memory_bytes(),
            size_on_disk_bytes=self._resident.size_on_disk_bytes,
        )


def _pieces(items: Sequence[ItemT]) -> Iterator[Sequence[ItemT]]:
    for start in range(0, len(items), _PIECE):
        yield items[start : start + _PIECE]
