"""One clock for all answers of a battle, so that speed does not say who is speaking.

Every answer is shown up to the same character at every moment. Showing starts once each has a
head start, at the rate that the slowest of them had during it, and the rate is kept: when the
shorter answer has been shown, the longer one goes on as before, whichever model was the fast one.
While more than one answer is growing, each keeps a reserve back, which evens out the last one's own
rhythm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Pacer", "Pacing", "Written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How far an answer has been written."""

    n_characters: int
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """Settings of the clock."""

    tick_s: float = 0.2
    """Time between two frames."""
    head_start: int = 60
    """Characters that each answer must have, unless it is complete, before any is shown."""
    head_start_s: float = 1.5
    """Time for which each must have been growing by then; its rate is measured over it."""
    reserve_s: float = 1.0
    """Time's worth of characters kept back while several answers grow."""
    slowest: float = 20.0
    """Characters per second, at least."""
    fastest: float = 240.0
    """Characters per second, at most: about what an eye that skims follows."""
    share: float = 0.85
    """Of the slowest answer's own rate, so that the clock does not run dry."""


class Pacer:
    """Say how many characters of every answer are shown at a moment.

    Parameters
    ----------
    pacing
        Settings of the clock.
    """

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing
        self._first: dict[int, tuple[float, int]] = {}
        self._rate: float | None = None
        self._last_s = 0.0
        self._position = 0.0

    def advance(self, now_s: float, written: Sequence[Written]) -> int:
        """Return the characters of each answer that are shown now.

        Parameters
        ----------
        now_s
            Time on a clock that never goes back.
        written
            Each answer's progress, always in the same order; which order makes no difference.

        Returns
        -------
        int
            The same number for all; an answer shorter than that is shown whole. Never less than
            before. 0 for no answers and until the start.
        """
        for index, answer in enumerate(written):
            if answer.n_characters:
                self._first.setdefault(index, (now_s, answer.n_characters))
        growing = [index for index, answer in enumerate(written) if not answer.is_complete]
        if self._rate is None:
            if not all(self._has_head_start(index, now_s, written) for index in growing):
                return 0
            self._rate, self._last_s = self._slowest_rate(growing, now_s, written), now_s
        wanted = self._position + self._rate * (now_s - self._last_s)
        self._last_s = now_s
        self._position = max(self._position, min(wanted, self._limit(growing, written)))
        return int(self._position)

    def is_over(self, written: Sequence[Written]) -> bool:
        """Return whether every answer is complete and shown to its end."""
        return all(a.is_complete and a.n_characters <= int(self._position) for a in written)

    def _has_head_start(self, index: int, now_s: float, written: Sequence[Written]) -> bool:
        if written[index].n_characters < max(self._pacing.head_start, 1):
            return False
        return now_s - self._first[index][0] >= self._pacing.head_start_s

    def _slowest_rate(
        self, growing: Sequence[int], now_s: float, written: Sequence[Written]
    ) -> float:
        """Return what the slowest answer can keep, within the bounds; the most if all are there."""
        rate = self._pacing.fastest
        for index in growing:
            since_s, n_before = self._first[index]
            if now_s > since_s:
                grown = written[index].n_characters - n_before
                rate = min(rate, self._pacing.share * grown / (now_s - since_s))
        return max(rate, self._pacing.slowest)

    def _limit(self, growing: Sequence[int], written: Sequence[Written]) -> float:
        if not growing:
            return max((answer.n_characters for answer in written), default=0)
        n_unshown = sum(answer.n_characters > self._position for answer in written)
        n_reserve = self._pacing.reserve_s * (self._rate or 0.0) if n_unshown > 1 else 0.0
        return min(written[index].n_characters for index in growing) - n_reserve
