"""Axes: round ticks, and where a value lies between the ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Axis", "linear_axis", "log_axis"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A scale from ``low`` to ``high`` with ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one; cut off beyond."""
        if self.logarithmic:
            low, high = math.log(self.low), math.log(self.high)
            value = math.log(value) if value > 0 else low
        else:
            low, high = self.low, self.high
        return min(1.0, max(0.0, (value - low) / (high - low)))

    def label(self, tick: float) -> str:
        """Write a tick with no more digits than ticks need."""
        return f"{tick:.6g}".replace("-", "−")


def linear_axis(values: Sequence[float], *, n_ticks: int = 5) -> Axis:
    """Make an axis that holds all finite values, ending at round ticks of 1, 2 or 5 times 10ᵏ."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    size = max(abs(low), abs(high)) or 1.0
    if high - low < 1e-6 * size:
        low, high = low - size / 2, high + size / 2
    rough = (high - low) / n_ticks
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    places = range(math.floor(low / step), math.ceil(high / step) + 1)
    ticks = tuple(place * step for place in places)
    return Axis(low=ticks[0], high=ticks[-1], ticks=ticks)


def log_axis(values: Sequence[float]) -> Axis:
    """Make a logarithmic axis for positive values, with some room and round ticks."""
    low, high = min(values) / 1.3, max(values) * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(powers) <= 4 else (1,)
    candidates = [factor * 10.0**power for power in powers for factor in factors]
    if sum(low <= tick <= high for tick in candidates) < 3:  # too narrow for powers
        candidates = list(linear_axis([low, high]).ticks)
    ticks = tuple(tick for tick in candidates if low <= tick <= high)
    return Axis(low=low, high=high, ticks=ticks, logarithmic=True)
