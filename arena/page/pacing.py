"""One clock for all answers of a battle, so that speed does not say who is speaking.

Every answer is shown up to the same character at every moment. Showing starts once each has a
head start, at a rate that the slowest of them can keep, and the rate is never raised afterwards:
when the shorter answer has ended, the longer one goes on as before, whichever model was the fast
one. While more than one answer is growing, each keeps a reserve back, which evens out the last
one's own rhythm.
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
    reserve_s: float = 1.0
    """Time's worth of characters kept back while several answers grow."""
    slowest: float = 12.0
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
        self._begun_s: float | None = None
        self._last_s = 0.0
        self._rate: float | None = None
        self._position = 0.0

    def advance(self, now_s: float, written: Sequence[Written]) -> int:
        """Return the characters of each answer that are shown now.

        Parameters
        ----------
        now_s
            Time on a clock that never goes back.
        written
            Each answer's progress, in any order: nothing depends on the order.

        Returns
        -------
        int
            The same number for all; an answer shorter than that is shown whole. Never less than
            before. 0 for no answers and until the start.
        """
        if self._begun_s is None:
            self._begun_s = now_s
        growing = [answer.n_characters for answer in written if not answer.is_complete]
        if self._rate is None:
            if growing and min(growing) < self._pacing.head_start:
                return 0
            self._rate = self._first_rate(growing, now_s - self._begun_s)
            self._last_s = now_s
        wanted = self._position + self._rate * (now_s - self._last_s)
        self._last_s = now_s
        self._position = max(self._position, min(wanted, self._limit(written, growing)))
        return int(self._position)

    def is_over(self, written: Sequence[Written]) -> bool:
        """Return whether every answer is complete and shown to its end."""
        return all(a.is_complete and a.n_characters <= int(self._position) for a in written)

    def _first_rate(self, growing: Sequence[int], elapsed_s: float) -> float:
        """Return the pace of the slowest answer, within the bounds; the bound if all are there."""
        pacing = self._pacing
        if not growing or elapsed_s <= 0:
            return pacing.fastest
        return min(pacing.fastest, max(pacing.slowest, pacing.share * min(growing) / elapsed_s))

    def _limit(self, written: Sequence[Written], growing: Sequence[int]) -> float:
        longest = max((answer.n_characters for answer in written), default=0)
        if not growing:
            return longest
        n_reserve = self._pacing.reserve_s * (self._rate or 0.0)
        n_unshown = sum(answer.n_characters > self._position for answer in written)
        return min(growing) - (n_reserve if n_unshown > 1 else 0.0)
