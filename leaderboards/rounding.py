"""Numbers for people: rounded by their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist, median

from evalcore.records import Estimate
from leaderboards.records import Column

__all__ = [
    "column_decimals",
    "decimals",
    "number",
    "p_value",
    "signed",
    "standard_error",
    "with_interval",
]

NOTHING = "–"


def standard_error(estimate: Estimate) -> float:
    """Return the standard error of a normal interval of this width; nan or inf without one."""
    z = NormalDist().inv_cdf((1.0 + estimate.confidence_level) / 2.0)
    return (estimate.high - estimate.low) / (2.0 * z)


def decimals(estimates: Iterable[Estimate]) -> int:
    """Decimals that numbers of one column deserve, at most 6.

    The three leading digits of the median standard error decide: from 100 to 354 two digits of it
    are kept, from 355 to 949 one, from 950 it counts as 1000 and two are kept [1]_. Without a
    standard error other than 0 there are three decimals, one where a value reaches 10 and none
    where one reaches 100, as on the Elo scale.

    References
    ----------
    .. [1] Particle Data Group (2024), Review of Particle Physics, Introduction, section 5.3.

    Examples
    --------
    >>> wide = Estimate(value=0.7, low=0.61, high=0.79, confidence_level=0.95, method="", n=100)
    >>> decimals([wide])
    2
    """
    shown = list(estimates)
    errors = [standard_error(estimate) for estimate in shown]
    known = [error for error in errors if 0.0 < error < math.inf]
    if not known:
        largest = max((abs(e.value) for e in shown if math.isfinite(e.value)), default=0.0)
        return 3 if largest < 10.0 else 1 if largest < 100.0 else 0
    exponent = math.floor(math.log10(median(known)))
    leading = median(known) / 10.0**exponent
    digits = 2 if leading < 3.55 or leading >= 9.5 else 1
    return min(6, max(0, digits - 1 - exponent - (leading >= 9.5)))


def column_decimals(column: Column) -> int:
    """Count the decimals of a task's column, for its values and their differences."""
    return decimals(head.estimate for head in column.runs.heads.values())


def number(value: float, places: int) -> str:
    """Round; a dash for nan."""
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{places}f}".replace("-", "−")


def signed(value: float, places: int) -> str:
    """Round, with a sign unless the number rounds to zero; a dash for nan."""
    text = number(value, places)
    if not any(character in "123456789∞" for character in text):
        return text.removeprefix("−")
    return text if text.startswith("−") else f"+{text}"


def with_interval(estimate: Estimate, places: int) -> str:
    """Write a value with its interval, such as ``0.70 [0.61, 0.79]``; a dash for nan."""
    if math.isnan(estimate.value):
        return NOTHING
    low, high = number(estimate.low, places), number(estimate.high, places)
    return f"{number(estimate.value, places)} [{low}, {high}]"


def p_value(value: float) -> str:
    """Write a p-value with its sign of relation: ``= 0.034``, ``< 0.001``."""
    if math.isnan(value):
        return NOTHING
    if value < 0.001:
        return "< 0.001"
    return f"= {value:.3f}" if value < 0.0995 else f"= {value:.2f}"
