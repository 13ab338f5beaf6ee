"""Differences of every two of many models at once, with their intervals.

They are those of :func:`~evalcore.stats.paired.paired_difference` and
:func:`~evalcore.stats.paired.stratified_difference`: half a million of them take seconds, which one
by one take minutes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalcore.records import Estimate
from evalcore.stats.paired import PairedDifference
from evalcore.stats.pairwise import Values
from evalcore.stats.trinomial import tango_intervals

__all__ = ["binary_differences", "stratified_differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """Of every two models on a task, ``(n_pairs,)`` each, in the order of ``combinations``."""

    n: NDArray[np.float64]
    wins: NDArray[np.float64]
    losses: NDArray[np.float64]
    mean: NDArray[np.float64]
    """Of the first minus the second; nan without a shared example."""
    variance: NDArray[np.float64]
    """Of the mean; nan with fewer than two examples."""


def binary_differences(
    table: Values, p_values: NDArray[np.float64], *, level: float
) -> Iterator[PairedDifference]:
    """Compare every two models with values of 0 and 1: Tango's interval and McNemar's exact test.

    Parameters
    ----------
    table
        Values of 0, 1 and nan (unscored, left out of each pair), without groups.
    p_values
        ``(n_models, n_models)``, see :func:`~evalcore.stats.pairwise.mcnemar_p_values`.
    level
        Confidence level.

    Returns
    -------
    iterator of PairedDifference
        In the order of :func:`itertools.combinations`.
    """
    counts = _binary_counts(table.values)
    cells = np.stack([counts.wins, counts.losses, counts.n])
    # of thousands of pairs few have other numbers than the rest
    (wins, losses, n), place = np.unique(cells, axis=1, return_inverse=True)
    low, high = tango_intervals(wins, losses, n, level=level)
    return _made(
        [counts],
        value=counts.mean,
        interval=(low[place.ravel()], high[place.ravel()]),
        p_values=p_values,
        n_examples=table.values.shape[1],
        words=("Tango", "McNemar, exact"),
        level=level,
    )


def stratified_differences(
    tables: Sequence[Values], p_values: NDArray[np.float64], *, level: float
) -> Iterator[PairedDifference]:
    """Compare every two models on the average over tasks, in which each task weighs the same.

    Parameters
    ----------
    tables
        At least one, finite and without groups; the same models in each.
    p_values
        ``(n_models, n_models)``, see :func:`~evalcore.stats.pairwise.macro_p_values`.
    level
        Confidence level.

    Returns
    -------
    iterator of PairedDifference
        In the order of :func:`itertools.combinations`.
    """
    counts = [
        _binary_counts(table.values) if table.is_binary else _counts(table.values)
        for table in tables
    ]
    value = np.sum([some.mean for some in counts], axis=0) / len(tables)
    spread = np.sum([some.variance for some in counts], axis=0)
    terms = np.zeros_like(spread)
    for some in counts:
        known = some.variance > 0.0
        terms[known] += some.variance[known] ** 2 / (some.n[known] - 1.0)
    known = spread > 0.0
    half = np.full_like(spread, np.inf)
    t = stats.t.ppf((1.0 + level) / 2.0, spread[known] ** 2 / terms[known])
    half[known] = t * np.sqrt(spread[known]) / len(tables)
    centre = np.where(known, value, 0.0)  # nan minus infinity would be nan
    return _made(
        counts,
        value=value,
        interval=(centre - half, centre + half),
        p_values=p_values,
        n_examples=sum(table.values.shape[1] for table in tables),
        words=("stratified t", "sign flip within tasks"),
        level=level,
    )


def _made(
    counts: Sequence[_Counts],
    *,
    value: NDArray[np.float64],
    interval: tuple[NDArray[np.float64], NDArray[np.float64]],
    p_values: NDArray[np.float64],
    n_examples: int,
    words: tuple[str, str],
    level: float,
) -> Iterator[PairedDifference]:
    n, wins, losses = (
        sum(getattr(some, name) for some in counts).astype(int) for name in ("n", "wins", "losses")
    )
    method, test = words
    columns: Iterable[tuple[float, float, float, float, int, int, int]] = zip(
        *(
            column.tolist()
            for column in (value, *interval, p_values[np.triu_indices(len(p_values), k=1)])
        ),
        *(column.tolist() for column in (n, wins, losses)),
        strict=True,
    )
    for difference, low, high, p_value, n_pairs, won, lost in columns:
        yield PairedDifference(
            difference=Estimate(
                value=difference,
                low=low,
                high=high,
                confidence_level=level,
                method=method,
                n=n_pairs,
                n_unscored=n_examples - n_pairs,
            ),
            p_value=p_value,
            test=test,
            n_pairs=n_pairs,
            wins=won,
            ties=n_pairs - won - lost,
            losses=lost,
        )


def _binary_counts(values: NDArray[np.float64]) -> _Counts:
    one, zero, scored = (
        found.astype(np.float32) for found in (values == 1.0, values == 0.0, ~np.isnan(values))
    )
    upper = np.triu_indices(len(values), k=1)
    wins, losses, n = (
        (first @ second.T).astype(np.float64)[upper]
        for first, second in ((one, zero), (zero, one), (scored, scored))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (wins - losses) / n
        variance = np.where(n > 1, (wins + losses - n * mean**2) / (n * (n - 1.0)), np.nan)
    return _Counts(
        n=n,
        wins=wins,
        losses=losses,
        mean=mean,
        variance=np.maximum(variance, _least(n, wins, losses)),
    )


def _counts(values: NDArray[np.float64]) -> _Counts:
    parts = [_after(values[place], values[place + 1 :]) for place in range(len(values) - 1)]
    columns = (np.concatenate(some) for some in zip(*parts, strict=True))
    n, wins, losses, mean, variance = columns
    return _Counts(n=n, wins=wins, losses=losses, mean=mean, variance=variance)


def _after(
    first: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Compare a model with those after it."""
    differences = first - others
    scored = ~np.isnan(differences)
    n = scored.sum(axis=1).astype(float)
    wins, losses = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(scored, differences, 0.0).sum(axis=1) / n
        squares = np.where(scored, differences - mean[:, None], 0.0) ** 2
        variance = np.where(n > 1, squares.sum(axis=1) / (n * (n - 1.0)), np.nan)
    binary = ((others == 0.0) | (others == 1.0)) & ((first == 0.0) | (first == 1.0))
    is_binary = (binary | ~scored).all(axis=1)
    floor = np.maximum(variance, _least(n, wins, losses))
    return n, wins, losses, mean, np.where(is_binary, floor, variance)


def _least(
    n: NDArray[np.float64], wins: NDArray[np.float64], losses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least variance of 0s and 1s; see :func:`~evalcore.stats.paired.stratified_difference`."""
    return (wins + losses + 1.0 - (wins - losses) ** 2 / (n + 2.0)) / (n + 2.0) ** 2
