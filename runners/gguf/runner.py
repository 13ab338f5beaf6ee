"""Requests to a model of llama.cpp; see :class:`evalcore.protocols.InterleavedRunner`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from evalcore.errors import ModelError
from evalcore.protocols import (
    Completion,
    Distributions,
    Finished,
    GenerateRequest,
    Loglikelihood,
    Piece,
    Request,
)
from evalcore.records import ModelSpec
from runners.engine.generation import GenerationJob, SlotState
from runners.engine.memory import free_memory_bytes
from runners.engine.planning import Chunk, Sizes, plan_chunks
from runners.gguf.adapters import adapter_bytes
from runners.gguf.distributions import text_distributions, text_size
from runners.gguf.generation import follow_answers, generation_plan
from runners.gguf.scoring import BatchScorer, scoring_size
from runners.hf.encoding import Encoder
from runners.hf.streaming import text_pieces
from runners.results import completed
from runners.token_runner import InterleavedTokenRunner
from runners.token_work import Work, scored_results

if TYPE_CHECKING:
    from runners.gguf.resident import GgufResident

__all__ = ["GgufRunner"]

_SIZES = Sizes()


class GgufRunner(InterleavedTokenRunner):
    """A variant of a resident file.

    Requests mean what they mean to :class:`runners.hf.runner.HfRunner`: text is tokenised, cut and
    ended by the same rules.

    Parameters
    ----------
    spec
        Resolved.
    resident
        Its file in memory; closing the runner leaves it there.
    """

    def __init__(self, spec: ModelSpec, *, resident: GgufResident) -> None:
        super().__init__(
            spec,
            encoder=Encoder(resident.tokenizer, spec),
            window=resident.settings.window,
            end_tokens=resident.tokenizer.end_tokens,
        )
        self._resident: GgufResident | None = resident
        self._size_on_disk_bytes = resident.header.size_bytes + sum(
            adapter_bytes(adapter) for adapter in spec.adapters
        )

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt, several at once.

        A prompt that leaves no room for ``max_new_tokens`` in the window is cut on its left, and
        what was cut is counted in ``n_truncated``.

        Raises
        ------
        InputError
            For sampling parameters outside their ranges.
        """
        prompts = self._work.prompts(requests)
        jobs = self._work.jobs(requests, prompts)
        for state in self._follow(jobs, lambda _: True):
            if state.answers:
                yield completed(
                    state.answers,
                    jobs,
                    prompts,
                    decode=self._encoder.decode,
                    size_on_disk_bytes=self._size_on_disk_bytes,
                )

    def stream_together(
        self, requests: Sequence[GenerateRequest], *, wanted: Callable[[int], bool]
    ) -> Generator[Sequence[Piece], None, None]:
        """Yield answers' pieces; their steps and those of other variants may take turns."""
        jobs = self._work.jobs(requests, self._work.prompts(requests))
        with closing(self._follow(jobs, wanted)) as states:
            yield from text_pieces(states, jobs, self._encoder.decode)

    @property
    def weights_bytes(self) -> int:
        """Memory that the file's weights and the variant's adapters take."""
        adapters = sum(adapter_bytes(adapter) for adapter in self._spec.adapters)
        return self._ready.weights_bytes + adapters

    def distributions(self, texts: Sequence[str], *, max_tokens: int) -> Iterator[Distributions]:
        """Yield what is held possible at each place of each text, one text after the other."""
        longest = min(self._work.window, max_tokens)
        cut = [tokens[:longest] for tokens in self._encoder.texts(texts)]
        size = text_size(max((len(tokens) for tokens in cut), default=1))
        first = self._encoder.first_token
        with closing(self._ready.context(size, self._spec.adapters)) as context:
            for tokens in cut:
                yield text_distributions(context, tokens, first_token=first)

    def close(self) -> None:
        """Let go of the file; the runner can't be used afterwards."""
        self._resident = None

    @property
    def _ready(self) -> GgufResident:
        if self._resident is None:
            raise ModelError(
                f"model {self._spec.name!r} is closed; it ran until the next was asked"
            )
        return self._resident

    def _follow(
        self, jobs: Sequence[GenerationJob], wanted: Callable[[int], bool]
    ) -> Generator[SlotState, None, None]:
        if not jobs:
            return
        resident = self._ready
        plan = generation_plan(
            jobs,
            most_rows=resident.options.batch_size,
            cell_bytes=resident.cell_bytes,
            memory_bytes=resident.options.memory_bytes or free_memory_bytes() // 2,
        )
        with closing(resident.context(plan.size, self._spec.adapters)) as context:
            yield from follow_answers(
                context, jobs, plan, decode=self._encoder.decode, wanted=wanted
            )

    def _score(
        self, work: Callable[[], Work], requests: Sequence[Request]
    ) -> Iterator[Finished[Loglikelihood]]:
        chunks = self._plan(work, requests)
        lengths = [len(span.inputs) for chunk in chunks for span in chunk.spans]
        size = scoring_size(max(lengths, default=1))
        with closing(self._ready.context(size, self._spec.adapters)) as context:
            yield from scored_results(
                chunks,
                len(requests),
                score=BatchScorer(context, _SIZES).score,
                size_on_disk_bytes=self._size_on_disk_bytes,
            )

    def _plan(self, work: Callable[[], Work], requests: Sequence[Request]) -> Sequence[Chunk]:
        """Return a job's chunks; the variants of a file share those of the same requests."""
        resident = self._ready
        key = (self._encoder.style, tuple(requests))
        if resident.planned[0] != key:
            resident.planned = (key, list(plan_chunks(work(), _SIZES)))
        return resident.planned[1]
