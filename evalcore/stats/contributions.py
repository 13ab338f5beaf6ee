"""What each part of a whole contributes, from paired scores of its coalitions.

Each quantity is a contrast of the coalitions' scores, hence a mean over examples of one number per
example. Its interval and test are those of a mean, and what examples share is taken out, as in any
paired comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.clustering import (
    ClusterVariance,
    cluster_variance,
    group_codes,
    t_quantile,
)
from evalcore.stats.coalitions import Design
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.paired import stratified_difference
from evalcore.stats.sign_flip import sign_flip_test

__all__ = ["Contribution", "Contributions", "Worths", "contrast", "contributions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Worths:
    """Scores of coalitions on one task's examples."""

    values: NDArray[np.float64]
    """Shape (n_coalitions, n_examples). An example without a finite score in every coalition is
    left out of all of them, and counted."""
    weights: NDArray[np.float64] | None = None
    """Units behind each example, such as tokens, shape (n_examples,); None: all the same."""
    groups: NDArray[np.str_] | None = None
    """Labels, shape (n_examples,); examples of one group depend on each other."""

    @property
    def is_share(self) -> bool:
        """Whether all scores lie in [0, 1] and count the same."""
        finite = self.values[np.isfinite(self.values)]
        return self.weights is None and bool(np.all((finite >= 0.0) & (finite <= 1.0)))

    def along(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contrast each example's scores, shape (n_examples,); nan where one is not finite."""
        complete = np.isfinite(self.values).all(axis=0)
        found = np.full(self.values.shape[1], math.nan)
        found[complete] = coefficients @ self.values[:, complete]
        # What is left of 1/6 + 1/3 − 1/2 is no difference.
        found[np.abs(found) < 1e-12 * (1.0 + np.abs(self.values).max(axis=0))] = 0.0
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A contrast of coalitions."""

    estimate: Estimate
    p_value: float
    """Of no effect, two-sided; 1 where the data can't tell."""
    sampling_error: float = 0.0
    """Standard error that comes from sampling orders of joining; part of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What players contribute to a whole."""

    gain: Contribution
    """All players against none."""
    shapley: tuple[Contribution, ...]
    """By player; they sum to the gain."""
    leave_one_out: tuple[Contribution, ...]
    """By player: what is lost without it."""
    interactions: tuple[Contribution, ...]
    """By pair, in the design's order."""


def contrast(
    tasks: Sequence[Worths], coefficients: NDArray[np.float64], *, level: float = 0.95
) -> Contribution:
    """Estimate a contrast of coalitions, Σ_S c_S v(S).

    On one task: the mean over its examples of Σ_S c_S v_e(S), with the interval of
    :func:`~evalcore.stats.intervals.mean_estimate` and the test of
    :func:`~evalcore.stats.sign_flip.sign_flip_test`, which flips whole groups. Scores in [0, 1]
    bound it to [Σ min(c, 0), Σ max(c, 0)]. On several tasks, each weighing the same:
    :func:`~evalcore.stats.paired.stratified_difference` from 0.

    Parameters
    ----------
    tasks
        At least one; the same coalitions in each.
    coefficients
        Shape (n_coalitions,).
    level
        Confidence level.

    Returns
    -------
    Contribution
        Without a scored example the value is nan and the interval all that is possible.

    Examples
    --------
    >>> worths = Worths(values=np.array([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0]]))
    >>> contrast([worths], np.array([-1.0, 1.0])).estimate.value
    0.5
    """
    if not tasks:
        raise InputError("tasks must be at least one; got none")
    bounds = (-math.inf, math.inf)
    if all(task.is_share for task in tasks):
        bounds = float(coefficients.clip(max=0.0).sum()), float(coefficients.clip(min=0.0).sum())
    if len(tasks) > 1:
        strata = [(part := t.along(coefficients), np.zeros_like(part), t.groups) for t in tasks]
        mean = stratified_difference(strata, level=level)
        return Contribution(estimate=_within(mean.difference, bounds), p_value=mean.p_value)
    (task,) = tasks
    parts = task.along(coefficients)
    estimate = mean_estimate(
        parts, weights=task.weights, groups=task.groups, level=level, bounds=bounds
    )
    return Contribution(estimate=estimate, p_value=_sign_flip(parts, task))


def contributions(tasks: Sequence[Worths], design: Design, *, level: float = 0.95) -> Contributions:
    """Estimate what each player, and every two together, contribute.

    See :class:`~evalcore.stats.coalitions.Design` for the formulas and :func:`contrast` for the
    intervals. With a sampled design a Shapley value's variance is V_e + V_π, V_e over examples and
    V_π over the sampled orders, each order averaged with its reverse; the interval is Student's t
    with (V_e + V_π)² / (V_e²/df_e + V_π²/df_π) degrees of freedom [1]_, and the test fits it. The
    sum errs to the wide side: it counts what examples and orders have in common twice.

    Parameters
    ----------
    tasks
        Scores on one task, or on several whose average is meant, in which each weighs the same;
        coalitions in the design's order.
    design
        The coalitions.
    level
        Confidence level.

    References
    ----------
    .. [1] Satterthwaite (1946), An approximate distribution of estimates of variance components,
       Biometrics Bulletin 2, eq. 17.

    Examples
    --------
    >>> from evalcore.stats.coalitions import every_coalition
    >>> worths = Worths(values=np.array([[0, 1, 0, 1.0], [1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]]))
    >>> [round(c.estimate.value, 3) for c in contributions([worths], every_coalition(2)).shapley]
    [0.25, 0.25]
    """
    for task in tasks:
        if task.values.shape[0] != len(design.coalitions):
            raise InputError(
                f"values must have a row for each of {len(design.coalitions)} coalitions; got "
                f"{task.values.shape[0]}"
            )
    shapley = [contrast(tasks, row, level=level) for row in design.shapley()]
    if not design.is_exact:
        shapley = [
            _with_sampling_error(found, tasks, design, player=player)
            for player, found in enumerate(shapley)
        ]
    return Contributions(
        gain=contrast(tasks, design.gain(), level=level),
        shapley=tuple(shapley),
        leave_one_out=tuple(contrast(tasks, row, level=level) for row in design.leave_one_out()),
        interactions=tuple(contrast(tasks, row, level=level) for row in design.interactions()),
    )


def _sign_flip(parts: NDArray[np.float64], task: Worths) -> float:
    scored = ~np.isnan(parts)
    summed = parts[scored] if task.weights is None else (parts * task.weights)[scored]
    if task.groups is not None and len(summed):
        summed = np.bincount(group_codes(task.groups[scored]), summed).astype(float)
    return sign_flip_test(summed)


def _within(estimate: Estimate, bounds: tuple[float, float]) -> Estimate:
    return replace(estimate, low=max(estimate.low, bounds[0]), high=min(estimate.high, bounds[1]))


def _with_sampling_error(
    found: Contribution, tasks: Sequence[Worths], design: Design, *, player: int
) -> Contribution:
    """Widen a Shapley value's interval by the error of the orders that happened to be drawn."""
    orders = design.marginals(player)
    by_order = np.mean([[_mean(row, task) for row in orders] for task in tasks], axis=0)
    of_orders = cluster_variance(by_order.reshape(-1, 2).mean(axis=1))
    row = orders.mean(axis=0)
    spreads = [of_orders, *(_spread(row, task) for task in tasks)]
    shares = np.array([1.0, *[1.0 / len(tasks) ** 2] * len(tasks)])
    variances = np.array([spread.variance for spread in spreads]) * shares
    variance = float(variances.sum())
    estimate, level = found.estimate, found.estimate.confidence_level
    if not variance > 0.0:
        return found
    dfs = np.array([max(spread.df, 1e-9) for spread in spreads])
    df = variance**2 / float(np.sum(variances**2 / dfs))
    error = math.sqrt(variance)
    half = t_quantile(level, df) * error
    return Contribution(
        estimate=replace(
            estimate,
            low=estimate.value - half,
            high=estimate.value + half,
            method=f"t over examples and {len(design.permutations)} sampled orders",
        ),
        p_value=float(2.0 * stats.t.sf(abs(estimate.value) / error, df)),
        sampling_error=math.sqrt(of_orders.variance),
    )


def _scored(row: NDArray[np.float64], task: Worths) -> tuple[NDArray[np.float64], Worths]:
    parts = task.along(row)
    kept = ~np.isnan(parts)
    return parts[kept], Worths(
        values=task.values[:, kept],
        weights=None if task.weights is None else task.weights[kept],
        groups=None if task.groups is None else task.groups[kept],
    )


def _mean(row: NDArray[np.float64], task: Worths) -> float:
    parts, scored = _scored(row, task)
    return float(np.average(parts, weights=scored.weights)) if len(parts) else math.nan


def _spread(row: NDArray[np.float64], task: Worths) -> ClusterVariance:
    parts, scored = _scored(row, task)
    groupings = () if scored.groups is None else (scored.groups,)
    return cluster_variance(parts, weights=scored.weights, groupings=groupings)
