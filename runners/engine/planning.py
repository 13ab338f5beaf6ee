"""Which sequences are computed together, and which beginning they share.

Sequences are sorted, so that neighbours share the longest prefixes, and cut into chunks from the
left, looking only to the right. So a chunk depends on nothing that came before it: an interrupted
job whose finished leading chunks are removed makes the same chunks again, hence the same numbers
to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runners.hf.scoring import Span

__all__ = ["Chunk", "Sizes", "plan_chunks"]

Tokens = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is computed at once."""

    chunk_tokens: int = 2048
    """Distinct tokens of a chunk, its trunk not counted; a larger request is a chunk alone."""
    block_tokens: int = 128
    """A trunk is a multiple of this, and computed in blocks of it, whatever its length: so the
    numbers of a block depend on nothing but the tokens up to its end."""
    segment_tokens: int = 256
    """Most rows that attend in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Requests that are computed together."""

    requests: Sequence[int]
    """Their positions in the job."""
    work: Sequence[Sequence[Span]]
    """The spans of each, at least one."""
    shared: Sequence[int]
    """For each span, the number of leading inputs that it shares with the one before; first 0."""
    n_trunk: int
    """Leading inputs that all spans share, none of them scored, rounded down to whole blocks."""

    @property
    def spans(self) -> list[Span]:
        """All spans, request by request."""
        return [span for spans in self.work for span in spans]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A request with all its spans; it is never divided."""

    request: int
    spans: Sequence[Span]
    shared: Sequence[int]
    """With the span before, the first one with the last span of the unit before."""

    @property
    def n_new(self) -> int:
        return sum(len(span.inputs) for span in self.spans) - sum(self.shared)

    @property
    def n_common(self) -> int:
        """Inputs that all its spans share and that come before the first scored one."""
        unscored = min(len(span.inputs) - len(span.targets) for span in self.spans)
        return min([unscored, *self.shared[1:]])


def plan_chunks(work: Sequence[Sequence[Span]], sizes: Sizes) -> Iterator[Chunk]:
    """Group requests into chunks, neighbours in the trie of their tokens together.

    Parameters
    ----------
    work : (n_requests,)
        The spans of each request; those with none are left out.
    sizes
        How large chunks get.

    Yields
    ------
    Chunk
        In the order of the trie. None for no requests.
    """
    units = _units(work)
    start = 0
    while start < len(units):
        stop, n_trunk = _cut(units, start, sizes)
        members = units[start:stop]
        shared = [length for unit in members for length in unit.shared]
        yield Chunk(
            requests=[unit.request for unit in members],
            work=[unit.spans for unit in members],
            shared=[0, *shared[1:]],
            n_trunk=n_trunk,
        )
        start = stop


def _units(work: Sequence[Sequence[Span]]) -> list[_Unit]:
    tokens = {
        request: [np.asarray(span.inputs, np.int64) for span in spans]
        for request, spans in enumerate(work)
        if spans
    }
    # Big-endian bytes sort like the numbers in them, and much faster than lists.
    order = sorted(tokens, key=lambda request: tokens[request][0].astype(">u4").tobytes())
    units: list[_Unit] = []
    previous = np.empty(0, np.int64)
    for request in order:
        shared = []
        for inputs in tokens[request]:
            shared.append(_common_length(previous, inputs))
            previous = inputs
        units.append(_Unit(request, work[request], shared))
    return units


def _cut(units: Sequence[_Unit], start: int, sizes: Sizes) -> tuple[int, int]:
    """Return where the chunk that begins at `start` ends, and the length of its trunk.

    Of the ends that leave it at least half full, the one is taken at which the least is shared
    with what follows: that is what has to be computed again.
    """
    n_tokens, n_common = units[start].shared[0], units[start].n_common
    ends: list[tuple[bool, int, int, int]] = []
    for at in range(start, len(units)):
        unit = units[at]
        n_tokens += unit.n_new
        n_common = min(n_common, unit.n_common, unit.shared[0] if at > start else n_common)
        n_trunk = n_common - n_common % sizes.block_tokens
        if ends and n_tokens - n_trunk > sizes.chunk_tokens:
            break
        if at + 1 == len(units):
            return at + 1, n_trunk
        is_half_full = 2 * (n_tokens - n_trunk) >= sizes.chunk_tokens
        ends.append((is_half_full, -units[at + 1].shared[0], at + 1, n_trunk))
    _, _, stop, n_trunk = max(ends)
    return stop, n_trunk


def _common_length(first: Tokens, second: Tokens) -> int:
    n = min(len(first), len(second))
    differs = first[:n] != second[:n]
    return int(differs.argmax()) if differs.any() else n
