"""What a judge's scores are worth in people's votes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.regression import fit
from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate

__all__ = ["Calibration", "ConfidenceBin", "calibrated", "calibration"]

_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceBin:
    """Verdicts in which the judge was about equally sure."""

    low: float
    """Least score of the answer preferred."""
    high: float
    n: int
    judge: float
    """The judge's mean score of the answer that it prefers."""
    people: Estimate
    """Its mean score by people, a tie counting half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How the judge's scores turn into people's."""

    slope: Estimate
    """λ in E[people's score − ½] = λ · (judge's score − ½): below 1 the judge exaggerates."""
    bins: tuple[ConfidenceBin, ...]
    """From least to most sure; those with verdicts only."""


def calibration(pairs: JudgedPairs, *, level: float = 0.95) -> Calibration | None:
    """Hold a judge's scores against people's on the same answers.

    The mean of the verdicts on the same answers, such as in both orders, counts once. The slope is
    that of least squares through (½, ½), so that it is the same whichever model is called A; by a
    slope of 1 and people who agree with each bin's mean score, a judge is calibrated.

    Returns
    -------
    Calibration or None
        None without people's votes on the same answers.
    """
    rows = pairs.take(pairs.scored & ~np.isnan(pairs.reference))
    if not len(rows):
        return None
    unit = rows.unit
    counts = np.bincount(unit)
    score = np.bincount(unit, rows.score) / counts
    people = np.bincount(unit, rows.reference) / counts
    example = np.zeros(len(counts), np.intp)
    example[unit] = rows.example
    slope = fit((score - 0.5)[:, None], people - 0.5, example).estimate(0, level=level)
    sure = np.maximum(score, 1.0 - score)
    agreeing = np.where(score >= 0.5, people, 1.0 - people)
    bins = []
    for low, high in pairwise(_EDGES):
        # a score of exactly one half prefers no answer
        inside = (sure >= low) & (sure > 0.5) & ((sure < high) | (high == 1.0))
        if inside.any():
            bins.append(
                ConfidenceBin(
                    low=low,
                    high=high,
                    n=int(inside.sum()),
                    judge=float(sure[inside].mean()),
                    people=mean_estimate(
                        agreeing[inside], groups=example[inside], level=level, bounds=(0.0, 1.0)
                    ),
                )
            )
    return Calibration(slope=slope, bins=tuple(bins))


def calibrated(rate: Estimate, slope: Estimate) -> Estimate:
    """Turn a judge's win rate into the one to expect of people: ½ + λ (rate − ½).

    The interval is by the delta method, the errors of both taken as independent. It holds for
    answers like those that the slope was estimated on; unlike a fused estimate it does not notice
    if the judge errs on these two models in particular.
    """
    lean = rate.value - 0.5
    value = 0.5 + slope.value * lean
    half = math.hypot(
        slope.value * (rate.high - rate.low) / 2.0, lean * (slope.high - slope.low) / 2.0
    )
    return Estimate(
        value=min(max(value, 0.0), 1.0),
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        confidence_level=rate.confidence_level,
        method="calibrated to people, delta method",
        n=rate.n,
        n_unscored=rate.n_unscored,
    )
