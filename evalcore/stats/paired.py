"""Comparison of models that answered the same examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.clustering import cluster_variance, group_codes, t_quantile
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.sign_flip import sign_flip_test
from evalcore.stats.trinomial import tango_interval

__all__ = [
    "PairedDifference",
    "holm",
    "mcnemar_exact",
    "paired_difference",
    "sign_test",
    "stratified_difference",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How much better the first model does on the examples that both answered."""

    difference: Estimate
    """Mean of first minus second; ``n_unscored`` counts pairs left out."""
    p_value: float
    """Of no difference, two-sided; 1 where the data can't tell."""
    test: str
    """What the p-value comes from."""
    n_pairs: int
    wins: int
    """Pairs in which the first has the higher value."""
    ties: int
    losses: int


def mcnemar_exact(wins: int, losses: int) -> float:
    """Test exactly whether wins are as likely as losses (McNemar), two-sided.

    Twice the binomial tail P(X ≤ min(wins, losses)) of wins + losses fair coins, at most 1 [1]_.
    Ties tell nothing about the direction and are left out; without a win or loss it is 1.

    References
    ----------
    .. [1] Conover (1999), Practical Nonparametric Statistics, 3rd ed., section 3.4-3.5.

    Examples
    --------
    >>> round(mcnemar_exact(14, 44), 5)  # Vicuna against ChatGPT on 80 questions, 22 ties
    0.0001
    """
    if min(wins, losses) < 0:
        raise InputError(f"wins and losses must not be negative; got {wins} and {losses}")
    return float(min(1.0, 2.0 * stats.binom.cdf(min(wins, losses), wins + losses, 0.5)))


def sign_test(differences: ArrayLike) -> float:
    """Test exactly whether either sign is likelier, two-sided; zeros and nan are left out."""
    observed = np.asarray(differences, dtype=float)
    return mcnemar_exact(int(np.sum(observed > 0)), int(np.sum(observed < 0)))


def paired_difference(
    values_a: ArrayLike,
    values_b: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Estimate how much higher the first model's mean is, and whether that may be chance.

    - Values of 0 and 1 without weights and groups: Tango's score interval and McNemar's exact test.
    - Otherwise the interval of :func:`~evalcore.stats.intervals.mean_estimate` for the differences
      (paired bootstrap, or t with weights or groups), and the p-value of
      :func:`~evalcore.stats.sign_flip.sign_flip_test`, which flips whole groups.

    Parameters
    ----------
    values_a, values_b
        Values of the two models on the same examples, shape (n,). Pairs with nan on either side
        are left out and counted.
    weights
        Non-negative units behind each pair, shape (n,): the difference is Σw(a−b)/Σw.
    groups
        Labels, shape (n,); pairs of one group depend on each other.
    level
        Confidence level.
    seed
        Of the bootstrap.

    Returns
    -------
    PairedDifference
        For n = 0 the difference is nan; for n = 1, or if all differences are equal, the interval is
        infinite ([−1, 1] at most for values of 0 and 1).

    Examples
    --------
    >>> paired_difference([1, 1, 1, 0, 1], [0, 0, 1, 0, 0]).p_value
    0.25
    """
    first, second = _same_shape(values_a, values_b)
    differences = _differences(first, second)
    scored = ~np.isnan(differences)
    binary = _is_binary(first[scored]) and _is_binary(second[scored])
    wins, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    if binary and weights is None and groups is None:
        estimate = _binary_difference(differences, wins, losses, level=level)
        p_value, test = mcnemar_exact(wins, losses), "McNemar, exact"
    else:
        estimate = mean_estimate(
            differences,
            weights=weights,
            groups=groups,
            level=level,
            seed=seed,
            bounds=(-1.0, 1.0) if binary else (-math.inf, math.inf),
        )
        parts = differences if weights is None else differences * np.asarray(weights, dtype=float)
        p_value = sign_flip_test(_group_sums(parts, groups))
        test = "sign flip" if groups is None else "sign flip by group"
    return PairedDifference(
        difference=estimate,
        p_value=p_value,
        test=test,
        n_pairs=estimate.n,
        wins=wins,
        ties=estimate.n - wins - losses,
        losses=losses,
    )


def stratified_difference(
    pairs: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike | None]], *, level: float = 0.95
) -> PairedDifference:
    """Compare two models by their macro average over tasks, in which each task weighs the same.

    With K tasks and mean difference d_k the estimate is Σ d_k / K, its variance Σ V_k / K², V_k by
    :func:`~evalcore.stats.clustering.cluster_variance` within the task, and Student's t has
    (Σ V_k)² / Σ (V_k² / df_k) degrees of freedom [1]_. For tasks scored 0 or 1, V_k is at least
    that of [2]_, which adds half a pair to each cell, so that a task without differences counts as
    uncertain, too. The p-value is :func:`~evalcore.stats.sign_flip.sign_flip_test` over all groups
    of all tasks.

    Parameters
    ----------
    pairs
        For each task the values of both models, each of shape (n_k,), and labels of groups or None.
        Pairs with nan on either side are left out and counted.
    level
        Confidence level.

    Returns
    -------
    PairedDifference
        Difference nan if a task has no scored pair (or there is no task); an infinite interval if
        a task has one scored group only, or nothing ever differs on a scale without bounds.

    References
    ----------
    .. [1] Satterthwaite (1946), An approximate distribution of estimates of variance components,
       Biometrics Bulletin 2, eq. 17.
    .. [2] Agresti & Min (2005), Simple improved confidence intervals for comparing matched
       proportions, Statistics in Medicine 24, section 2.
    """
    strata = [_stratum(a, b, groups) for a, b, groups in pairs]
    n_strata = len(strata)
    value = sum(s.mean for s in strata) / n_strata if strata else math.nan
    variances = np.array([s.variance for s in strata])
    spread = float(variances.sum())
    low, high = -math.inf, math.inf
    if spread > 0.0:
        known = variances > 0.0
        df = spread**2 / float(
            np.sum(variances[known] ** 2 / np.array([s.df for s in strata])[known])
        )
        half = t_quantile(level, df) * math.sqrt(spread) / n_strata
        low, high = value - half, value + half
    parts = [s.parts / n_strata for s in strata]
    n = sum(s.wins + s.ties + s.losses for s in strata)
    return PairedDifference(
        difference=Estimate(
            value=value,
            low=low,
            high=high,
            confidence_level=level,
            method="stratified t",
            n=n,
            n_unscored=sum(s.n_unscored for s in strata),
        ),
        p_value=sign_flip_test(np.concatenate(parts)) if strata else 1.0,
        test="sign flip within tasks",
        n_pairs=n,
        wins=sum(s.wins for s in strata),
        ties=sum(s.ties for s in strata),
        losses=sum(s.losses for s in strata),
    )


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values so that the chance of any false rejection among them stays below the level.

    In increasing order, p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)) [1]_.

    Parameters
    ----------
    p_values
        Shape (m,), in [0, 1].

    Returns
    -------
    numpy.ndarray
        Adjusted p-values in the order given, shape (m,).

    References
    ----------
    .. [1] Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian J.
       Statistics 6, 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    raw = np.asarray(p_values, dtype=float)
    if not np.all((raw >= 0.0) & (raw <= 1.0)):
        raise InputError("p_values must lie between 0 and 1")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    adjusted = np.empty_like(raw)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stratum:
    mean: float
    variance: float
    df: float
    parts: NDArray[np.float64]
    """What each group adds to the mean."""
    wins: int
    ties: int
    losses: int
    n_unscored: int


def _stratum(values_a: ArrayLike, values_b: ArrayLike, groups: ArrayLike | None) -> _Stratum:
    first, second = _same_shape(values_a, values_b)
    differences = _differences(first, second)
    scored = ~np.isnan(differences)
    labels = None if groups is None else np.asarray(groups)[scored]
    differences = differences[scored]
    n = len(differences)
    spread = cluster_variance(differences, groupings=() if labels is None else (labels,))
    wins, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    variance = spread.variance
    if _is_binary(first[scored]) and _is_binary(second[scored]):
        least = (wins + losses + 1 - (wins - losses) ** 2 / (n + 2)) / (n + 2) ** 2
        variance = max(variance, least)
    return _Stratum(
        mean=float(differences.mean()) if n else math.nan,
        variance=variance,
        df=spread.df,
        parts=_group_sums(differences / max(n, 1), labels),
        wins=wins,
        ties=n - wins - losses,
        losses=losses,
        n_unscored=int((~scored).sum()),
    )


def _same_shape(
    values_a: ArrayLike, values_b: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first = np.asarray(values_a, dtype=float).reshape(-1)
    second = np.asarray(values_b, dtype=float).reshape(-1)
    if first.shape != second.shape:
        raise InputError(f"paired values must be equally many; got {len(first)} and {len(second)}")
    return first, second


def _differences(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Subtract; two equal infinities, such as impossible texts, do not differ."""
    with np.errstate(invalid="ignore"):
        return np.where(first == second, 0.0, first - second)


def _is_binary(values: NDArray[np.float64]) -> bool:
    return bool(np.all((values == 0.0) | (values == 1.0)))


def _binary_difference(
    differences: NDArray[np.float64], wins: int, losses: int, *, level: float
) -> Estimate:
    n_unscored = int(np.isnan(differences).sum())
    n = len(differences) - n_unscored
    low, high = tango_interval(wins, losses, n, level=level)
    return Estimate(
        value=(wins - losses) / n if n else math.nan,
        low=low,
        high=high,
        confidence_level=level,
        method="Tango",
        n=n,
        n_unscored=n_unscored,
    )


def _group_sums(parts: NDArray[np.float64], groups: ArrayLike | None) -> NDArray[np.float64]:
    """Sum by group, without nan; where a part is infinite, only signs can be summed."""
    scored = ~np.isnan(parts)
    if np.any(np.isinf(parts)):
        parts = np.sign(parts)
    if groups is None:
        return parts[scored]
    return np.bincount(group_codes(np.asarray(groups)[scored]), parts[scored]).astype(float)
