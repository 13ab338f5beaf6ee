"""Totals of marks, as studies published them that let a judge mark both answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evalcore.judges.foreign.records import ForeignVerdict
from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate, proportion_estimate

__all__ = ["MarkTotals", "mark_totals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkTotals:
    """What one judge's marks of two models add up to."""

    rater: str
    model_a: str
    model_b: str
    total_a: Estimate
    """Sum of the marks of A, from 0 upwards."""
    total_b: Estimate
    b_no_worse: Estimate
    """Share of prompts with a mark of B that is not below that of A."""


def mark_totals(verdicts: Sequence[ForeignVerdict]) -> Iterator[MarkTotals]:
    """Add up the marks of each judge and pair of models; verdicts without marks are left out.

    Intervals are those of a mean over prompts, times their number: what another draw of as many
    prompts would give.
    """
    by_pair: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for verdict in verdicts:
        if verdict.marks is not None:
            pair = verdict.rater, verdict.model_a, verdict.model_b
            by_pair.setdefault(pair, []).append(verdict.marks)
    for (rater, model_a, model_b), marks in by_pair.items():
        yield MarkTotals(
            rater=rater,
            model_a=model_a,
            model_b=model_b,
            total_a=_total([mark for mark, _ in marks]),
            total_b=_total([mark for _, mark in marks]),
            b_no_worse=proportion_estimate([float(a <= b) for a, b in marks]),
        )


def _total(marks: Sequence[float]) -> Estimate:
    mean, n = mean_estimate(marks), len(marks)
    return replace(mean, value=sum(marks), low=n * mean.low, high=n * mean.high)
