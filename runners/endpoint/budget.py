"""Money that may be spent: no call is begun that could exceed it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import Lock

from evalcore.errors import InputError

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """US dollars for all calls of a command, those in flight included.

    A call reserves the most that it can cost before it is made, and gives back what it did not.
    Several runners, in threads of their own, may share one.
    """

    max_usd: float = math.inf
    spent_usd: float = 0.0
    """Settled calls. An attempt whose reply was lost counts in full: it may have been billed."""
    _reserved_usd: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no amount of money."""
        if math.isnan(self.max_usd) or self.max_usd < 0:
            raise InputError(f"max_usd must be at least 0; got {self.max_usd}")

    @property
    def is_limited(self) -> bool:
        """Whether there is a most that may be spent."""
        return self.max_usd < math.inf

    def reserve(self, most_usd: float) -> bool:
        """Set money aside for a call; False if it isn't there."""
        with self._lock:
            fits = self.spent_usd + self._reserved_usd + most_usd <= self.max_usd
            if fits:
                self._reserved_usd += most_usd
            return fits

    def settle(self, reserved_usd: float, cost_usd: float) -> None:
        """Replace what was set aside by what the call cost."""
        with self._lock:
            self._reserved_usd -= reserved_usd
            self.spent_usd += cost_usd
