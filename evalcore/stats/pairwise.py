"""Tests of every two of many models at once, from tables of models by examples.

The p-values are those of :func:`~evalcore.stats.paired.paired_difference` and
:func:`~evalcore.stats.paired.stratified_difference`, without their intervals: all pairs of a
hundred models on fifty tasks take less time than a few hundred of them one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalcore.records import Estimate
from evalcore.stats.clustering import group_codes, t_quantile
from evalcore.stats.sign_flip import sign_flip_tests

__all__ = ["Values", "macro_means", "macro_p_values", "mcnemar_p_values", "sign_flip_p_values"]

_PAIRS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """One metric of one task."""

    values: NDArray[np.float64]
    """``(n_models, n_examples)``, finite; nan = unscored."""
    groups: NDArray[np.int64] | None = None
    """``(n_examples,)`` numbers of clusters; None if examples are independent."""

    @property
    def is_binary(self) -> bool:
        """Whether all that is scored is 0 or 1."""
        found = self.values
        return bool(((found == 0.0) | (found == 1.0) | np.isnan(found)).all())


def mcnemar_p_values(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Test every two models with values of 0 and 1 by McNemar's exact test.

    Parameters
    ----------
    values
        ``(n_models, n_examples)``; nan = unscored, left out of each pair.

    Returns
    -------
    NDArray
        ``(n_models, n_models)``, symmetric; 1 where two models do not differ.
    """
    wins = _wins(values)
    fewer, both = np.minimum(wins, wins.T), wins + wins.T
    # of thousands of pairs few have other numbers than the rest
    cells, place = np.unique(fewer * (2 * values.shape[1] + 1) + both, return_inverse=True)
    few, n = np.divmod(cells, 2 * values.shape[1] + 1)
    found: NDArray[np.float64] = np.minimum(1.0, 2.0 * special.bdtr(few, n.astype(np.int64), 0.5))
    return found[place].reshape(wins.shape)


def sign_flip_p_values(
    table: Values, *, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Test every two models by flipping signs of differences, of whole groups where there are any.

    Parameters
    ----------
    table
        The values.
    weights
        ``(n_models, n_examples)``; a pair's example counts with the mean of both. Equal if None.

    Returns
    -------
    NDArray
        ``(n_models, n_models)``, symmetric, with 1 on the diagonal.
    """
    n_models = len(table.values)
    p_values = np.ones((n_models, n_models))
    for first, second, parts in _differences(table, weights):
        found = sign_flip_tests(np.abs(parts), np.ones_like(parts), np.abs(parts.sum(axis=1)))
        p_values[first, second] = p_values[second, first] = found
    return p_values


def macro_p_values(tables: Sequence[Values]) -> NDArray[np.float64]:
    """Test every two models on the average over tasks, in which each task weighs the same.

    Differences of tasks with values of 0 and 1 all have one size, so that it is enough to count
    them; others enter one by one.

    Parameters
    ----------
    tables
        At least one; the same models in each.

    Returns
    -------
    NDArray
        ``(n_models, n_models)``, symmetric, with 1 on the diagonal.
    """
    counted = [table for table in tables if table.is_binary and table.groups is None]
    singly = [table for table in tables if not (table.is_binary and table.groups is None)]
    cells = _merged(_counted(table.values) for table in counted)
    n_models = len(tables[0].values)
    p_values = np.ones((n_models, n_models))
    streams = [_differences(table, None, mean=True) for table in singly]
    for first, second in _blocks(n_models, 1 if streams else _PAIRS_AT_ONCE):
        sizes = [cell.size[first, second, None] for cell in cells]
        counts = [cell.n_differ[first, second, None] for cell in cells]
        sums = sum((cell.mean[first, second] for cell in cells), np.zeros(len(second)))
        for stream in streams:
            parts = next(stream)[2]
            sizes.append(np.abs(parts))
            counts.append(np.ones_like(parts))
            sums = sums + parts.sum(axis=1)
        found = sign_flip_tests(np.hstack(sizes), np.hstack(counts), np.abs(sums))
        p_values[first, second] = p_values[second, first] = found
    return p_values


def _blocks(n_models: int, n_pairs: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield pairs of models, all those of a first one together, and at least as many as asked."""
    first, second = np.triu_indices(n_models, k=1)
    start = 0
    while start < len(first):
        last = first[min(start + n_pairs, len(first)) - 1]
        end = int(np.searchsorted(first, last, side="right"))
        yield first[start:end], second[start:end]
        start = end


def macro_means(tables: Sequence[Values], *, level: float = 0.95) -> list[Estimate]:
    """Estimate each model's average over tasks of independent examples.

    As :func:`~evalcore.stats.paired.stratified_difference` from a model that has 0 everywhere.

    Parameters
    ----------
    tables
        At least one, without groups; the same models in each.
    level
        Confidence level.

    Returns
    -------
    list of Estimate
        By model; nan for one that a task has no scored example of.
    """
    means, variances, freedoms, n_scored, n_unscored = (
        np.array(part) for part in zip(*(_moments(table.values) for table in tables), strict=True)
    )
    n_tasks = len(tables)
    spread = variances.sum(axis=0)
    known = np.nan_to_num(variances) > 0.0
    terms = np.divide(variances**2, freedoms, out=np.zeros_like(variances), where=known)
    estimates = []
    for model in range(means.shape[1]):
        value, low, high = float(means[:, model].mean()), -math.inf, math.inf
        if spread[model] > 0.0:
            df = spread[model] ** 2 / terms[:, model].sum()
            half = t_quantile(level, float(df)) * math.sqrt(spread[model]) / n_tasks
            low, high = value - half, value + half
        estimates.append(
            Estimate(
                value=value,
                low=low,
                high=high,
                confidence_level=level,
                method="stratified t",
                n=int(n_scored[:, model].sum()),
                n_unscored=int(n_unscored[:, model].sum()),
            )
        )
    return estimates


def _moments(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Mean, its variance and degrees of freedom, scored and unscored examples, by model."""
    scored = ~np.isnan(values)
    n = scored.sum(axis=1).astype(float)
    filled = np.where(scored, values, 0.0)
    mean = np.divide(filled.sum(axis=1), n, out=np.full(len(n), math.nan), where=n > 0)
    squares = np.sum(np.where(scored, (filled - mean[:, None]) ** 2, 0.0), axis=1)
    variance = np.divide(squares, n * (n - 1), out=np.full(len(n), math.nan), where=n > 1)
    binary = ((filled == 0.0) | (filled == 1.0)).all(axis=1)
    wins = (filled > 0).sum(axis=1)
    least = (wins + 1 - wins**2 / (n + 2)) / (n + 2) ** 2
    # a task of 0s and 1s without a spread is uncertain, too; see stratified_difference
    variance = np.where(binary, np.maximum(variance, least), variance)
    return mean, variance, n - 1, n, (~scored).sum(axis=1)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Of every two models on a task with values of 0 and 1, ``(n_models, n_models)`` each."""

    n_differ: NDArray[np.float64]
    size: NDArray[np.float64]
    """What a difference adds to the mean; 0 where nothing is scored."""
    mean: NDArray[np.float64]


def _counted(values: NDArray[np.float64]) -> _Counted:
    wins = _wins(values)
    scored = (~np.isnan(values)).astype(np.float32)
    n_both = (scored @ scored.T).astype(np.float64)
    size = np.divide(1.0, n_both, out=np.zeros_like(n_both), where=n_both > 0)
    return _Counted(wins + wins.T, size, (wins - wins.T) * size)


def _merged(cells: Iterable[_Counted]) -> list[_Counted]:
    """Put tasks together in which a difference of every two models adds the same."""
    found: dict[bytes, _Counted] = {}
    for cell in cells:
        key = cell.size.tobytes()
        if key in found:
            same = found[key]
            cell = _Counted(same.n_differ + cell.n_differ, cell.size, same.mean + cell.mean)
        found[key] = cell
    return list(found.values())


def _wins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count the examples that the row's model has and the column's has not."""
    one, zero = (values == 1.0).astype(np.float32), (values == 0.0).astype(np.float32)
    return np.asarray((one @ zero.T).astype(np.float64))


def _differences(
    table: Values, weights: NDArray[np.float64] | None, *, mean: bool = False
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.float64]]]:
    """Yield each model, those after it, and their differences by example or group.

    With ``mean`` they are divided by the number of examples that both models have.
    """
    values = table.values
    codes = None if table.groups is None else group_codes(table.groups)
    for first in range(len(values) - 1):
        second = np.arange(first + 1, len(values))
        parts = values[first] - values[second]
        scored = ~np.isnan(parts)
        parts = np.where(scored, parts, 0.0)
        if weights is not None:
            parts = parts * ((weights[first] + weights[second]) / 2.0)
        if mean:
            parts = parts / np.maximum(scored.sum(axis=1, keepdims=True), 1)
        if codes is not None:
            n_groups = int(codes.max(initial=-1)) + 1
            rows = np.arange(len(parts))[:, None] * n_groups + codes
            sums = np.bincount(rows.ravel(), parts.ravel(), len(parts) * n_groups)
            parts = sums.reshape(len(parts), n_groups)
        yield first, second, parts
