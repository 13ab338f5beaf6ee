"""Keeping to a server's rates, without ever asking it more than it permits."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

__all__ = ["Hold", "Pace"]


@dataclass(slots=True)
class Pace:
    """Spaces calls evenly, so that at most ``per_minute`` begin in any minute.

    Places in the queue are given out ahead of time at fixed distances: a late wake-up delays its
    own call and no other, so the rate is kept to the full however busy the machine is. Spacing
    without bursts is the generic cell rate algorithm with a tolerance of 0 (ITU-T I.371, annex A).
    """

    per_minute: float = math.inf
    _free_at: float = 0.0
    """Time on the loop's clock from which on nothing is taken yet."""

    async def take(self, amount: float = 1.0) -> None:
        """Wait for one's turn to use an amount."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._free_at)
        self._free_at = turn + self._seconds(amount)
        if turn > now:
            await asyncio.sleep(turn - now)

    def give_back(self, amount: float) -> None:
        """Return what was taken and not used, or take what was used besides (negative)."""
        self._free_at -= self._seconds(amount)

    def _seconds(self, amount: float) -> float:
        return amount * 60.0 / self.per_minute


@dataclass(slots=True)
class Hold:
    """Lets all calls wait while the server has asked for a pause."""

    _until: float = 0.0

    def extend(self, seconds: float) -> None:
        """Let nothing pass for so long."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)

    async def passed(self) -> bool:
        """Wait until the pause is over; tell whether there was one."""
        clock = asyncio.get_running_loop().time
        had_to_wait = False
        while (left := self._until - clock()) > 0:
            had_to_wait = True
            await asyncio.sleep(left)
        return had_to_wait
