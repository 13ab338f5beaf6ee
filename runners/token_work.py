"""What a variant's requests are in tokens, by the rules that all runners in this process share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from evalcore.protocols import (
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Piece,
    RollingRequest,
)
from evalcore.records import Efficiency, SamplingParams
from runners.engine.generation import GenerationJob
from runners.engine.planning import Chunk
from runners.engine.scoring import Scored
from runners.hf.encoding import Encoder
from runners.hf.generation import Ending, check_params
from runners.hf.scoring import Span, pair_span, rolling_spans
from runners.results import generation_jobs, peak_memory_bytes, total

__all__ = ["TokenWork", "Work", "scored_results", "single_texts", "without_spans"]

Work = Sequence[Sequence[Span]]
"""What is to be scored: the spans of each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWork:
    """Makes prompts, jobs and spans of requests to one variant."""

    encoder: Encoder
    window: int
    """Most tokens of a text."""
    end_tokens: frozenset[int]
    """Marks by which the model ends a text."""

    def prompts(self, requests: Sequence[GenerateRequest]) -> list[list[int]]:
        """Tokenise prompts; InputError for sampling parameters outside their ranges."""
        for params in dict.fromkeys(replace(request.params, seed=0) for request in requests):
            check_params(params, self.window)
        return self.encoder.prompts(
            [request.prompt for request in requests],
            as_text=[request.harness_rules for request in requests],
        )

    def jobs(
        self, requests: Sequence[GenerateRequest], prompts: Sequence[Sequence[int]]
    ) -> list[GenerationJob]:
        """Make the job of each request, its prompt cut on the left to fit the window."""
        return generation_jobs(requests, prompts, window=self.window, ending=self.ending)

    def ending(self, params: SamplingParams) -> Ending:
        """Return what ends an answer: marks, the request's stop strings and the template's."""
        strings = (*params.stop, *self.encoder.stop)
        tokens = self.end_tokens | self.encoder.end_tokens(strings)
        return Ending(tokens=tokens, strings=strings)

    def pairs(self, requests: Sequence[LoglikelihoodRequest]) -> Work:
        """Return one span for each continuation, none for an empty one.

        Raises
        ------
        InputError
            If a continuation alone is longer than the window.
        """
        pairs = self.encoder.pairs(requests)
        return [[pair_span(*pair, self.window)] if pair[1] else [] for pair in pairs]

    def texts(self, requests: Sequence[RollingRequest]) -> Work:
        """Return the windows of each whole text."""
        first = self.encoder.first_token
        texts = self.encoder.rolling(requests)
        return [rolling_spans(tokens, first, self.window) for tokens in texts]


def scored_results(
    chunks: Sequence[Chunk],
    n_requests: int,
    *,
    score: Callable[[Chunk], Scored],
    size_on_disk_bytes: int,
) -> Iterator[Finished[Loglikelihood]]:
    """Score a job's chunks one after the other; requests without a span come first."""
    without = without_spans(chunks, n_requests)
    if without:
        yield Finished([(index, total([])) for index in without], Efficiency())
    for chunk in chunks:
        scored = score(chunk)
        took = Efficiency(
            prefill_tokens=scored.n_tokens,
            prefill_s=scored.duration_s,
            peak_memory_bytes=peak_memory_bytes(),
            size_on_disk_bytes=size_on_disk_bytes,
        )
        yield Finished(scored.results, took)


def without_spans(chunks: Sequence[Chunk], n_requests: int) -> list[int]:
    """Return the requests of a job that have nothing to score."""
    with_spans = {request for chunk in chunks for request in chunk.requests}
    return [index for index in range(n_requests) if index not in with_spans]


def single_texts(steps: Generator[Sequence[Piece], None, None]) -> Iterator[str]:
    """Yield the text of one answer, piece by piece, and close what makes it."""
    with closing(steps):
        for pieces in steps:
            yield from (piece.text for piece in pieces if piece.text)
