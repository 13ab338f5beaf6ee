"""A study's numbers: as published, and as they are computed here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from evalcore.records import Estimate

__all__ = ["Book", "Finding", "Outcome", "against", "in_words", "left_out", "lost", "p_words"]

Outcome = Literal["exact", "near", "differs", "not reproducible", "left out"]
"""Equal to as many digits as were published; within a tolerance that is told; not; no data for it;
not in the publication at all."""
_CERTAIN_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One number of a study."""

    table: str
    """Which of the study's tables it belongs to."""
    quantity: str
    published: str
    """As published; empty where the publication does not have it."""
    computed: str
    """In words, with interval and n where there are; empty where it can't be computed."""
    outcome: Outcome
    estimate: Estimate | None = None
    """The number computed."""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A study's findings."""

    study: str
    title: str
    source: str
    """Where it was published."""
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    """What a reader has to know of the whole."""


def against(
    table: str,
    quantity: str,
    published: str,
    estimate: Estimate | float,
    *,
    shown: str = "",
    tolerance: float = 0.0,
    note: str = "",
) -> Finding:
    """Set a number beside the published one.

    Parameters
    ----------
    published
        The number as published, such as ``66 %``; its digits say how exactly it has to be met.
    estimate
        On the published scale.
    shown
        Words for what was computed; otherwise the number, and its interval if it has one.
    tolerance
        Most that a number may be off and still count as near.
    """
    value = estimate.value if isinstance(estimate, Estimate) else float(estimate)
    number = published.split()[0]
    digits = -int(Decimal(number).as_tuple().exponent)
    off = abs(value - float(number))
    outcome: Outcome = "differs"
    if off <= 0.5 * 10.0**-digits + 1e-9:
        outcome = "exact"
    elif off <= tolerance:
        outcome = "near"
    finer = isinstance(estimate, Estimate) and (digits == 0 or abs(value) < 1.0)
    return Finding(
        table=table,
        quantity=quantity,
        published=published,
        computed=shown or in_words(estimate, digits=digits + finer),
        outcome=outcome,
        estimate=estimate if isinstance(estimate, Estimate) else None,
        note=note,
    )


def left_out(
    table: str, quantity: str, computed: Estimate | str, *, digits: int = 1, note: str = ""
) -> Finding:
    """Tell a number that the publication does not have."""
    words = computed if isinstance(computed, str) else in_words(computed, digits=digits)
    return Finding(
        table=table,
        quantity=quantity,
        published="",
        computed=words,
        outcome="left out",
        estimate=computed if isinstance(computed, Estimate) else None,
        note=note,
    )


def lost(table: str, quantity: str, published: str, *, note: str) -> Finding:
    """Tell a published number that no released data give."""
    return Finding(
        table=table,
        quantity=quantity,
        published=published,
        computed="",
        outcome="not reproducible",
        note=note,
    )


def p_words(p_value: float) -> str:
    """Write a p-value.

    Examples
    --------
    >>> p_words(0.0123), p_words(3e-9)
    ('p = 0.012', 'p < 0.0001')
    """
    return "p < 0.0001" if p_value < 1e-4 else f"p = {p_value:.2g}"


def in_words(number: Estimate | float, *, digits: int) -> str:
    """Write a number, and its interval and n where it has them.

    Examples
    --------
    >>> in_words(24.25 + 4e-15, digits=1) == in_words(24.25 - 4e-15, digits=1)
    True
    """
    if not isinstance(number, Estimate):
        return _rounded(number, max(digits, 0))
    value, low, high = (_rounded(x, digits) for x in (number.value, number.low, number.high))
    if not (math.isfinite(number.low) and math.isfinite(number.high)):
        return f"{value}, n = {number.n}"
    return f"{value} ({low} to {high}), n = {number.n}"


def _rounded(number: float, digits: int) -> str:
    """Round, and equally on all processors: their sums differ in the last place, at halves, too."""
    return f"{round(number, _CERTAIN_DIGITS):.{digits}f}"
