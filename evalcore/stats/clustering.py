"""Variance of a mean whose observations come in groups, such as votes by rater and by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evalcore.errors import InputError

__all__ = ["ClusterVariance", "cluster_variance", "crossed_variance", "group_codes", "t_quantile"]

_SATTERTHWAITE_FROM_DF = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVariance:
    """Squared standard error of a mean and how well it is known."""

    variance: float
    """Squared standard error; nan with fewer than two clusters."""
    n_effective: float
    """Clusters, counted as 1/Σh² of their shares h of the weight; of the coarsest grouping."""
    df: float
    """Degrees of freedom of Student's t."""


def cluster_variance(
    values: ArrayLike, *, weights: ArrayLike | None = None, groupings: Sequence[ArrayLike] = ()
) -> ClusterVariance:
    """Estimate the variance of a weighted mean under one-way or crossed clustering.

    For one grouping this is the delete-one-cluster jackknife,
    V = (G−1)/G · Σ_g (r_g / (1 − h_g))², where r_g = Σ_{i∈g} w_i (y_i − ȳ) / Σw is a cluster's part
    of the error and h_g its share of the weight [1]_. With clusters of one observation and equal
    weights it is s²/n, and it has 1/Σh² − 1 degrees of freedom. For two crossed groupings
    V = V₁ + V₂ − V₁₂, V₁₂ by their intersection [2]_, and never less than V₁₂. Its degrees of
    freedom are V² / (V₁²/df₁ + V₂²/df₂) [3]_, or those of the coarser grouping if these are more,
    or if it has fewer than five clusters: from so few V₁ and V₂ are too noisy for [3]_.

    Parameters
    ----------
    values
        Observations, shape (n,); with an infinite one the variance is nan.
    weights
        Non-negative weights, shape (n,); equal if not given.
    groupings
        At most two sequences of labels, each of shape (n,). None: every observation by itself.

    Returns
    -------
    ClusterVariance
        Variance nan where there are fewer than two clusters with weight.

    References
    ----------
    .. [1] MacKinnon, Nielsen & Webb (2023), Fast and reliable jackknife and bootstrap methods for
       cluster-robust inference, J. Appl. Econometrics 38, eq. 15 (CV3).
    .. [2] Cameron, Gelbach & Miller (2011), Robust inference with multiway clustering, JBES 29,
       eq. 2.13.
    .. [3] Satterthwaite (1946), An approximate distribution of estimates of variance components,
       Biometrics Bulletin 2, eq. 17.

    Examples
    --------
    >>> round(cluster_variance([1.0, 2.0, 3.0, 4.0]).variance, 6)  # 5/3 / 4
    0.416667
    """
    observed = np.asarray(values, dtype=float)
    weight = np.ones(len(observed)) if weights is None else np.asarray(weights, dtype=float)
    total = weight.sum()
    if len(observed) == 0 or total <= 0:
        return ClusterVariance(variance=float("nan"), n_effective=0.0, df=0.0)
    if len(groupings) > 2:
        raise InputError(f"groupings must be at most two; got {len(groupings)}")
    share = weight / total
    with np.errstate(invalid="ignore"):
        error = share * (observed - share @ observed)
    codes = [group_codes(labels) for labels in groupings]
    ways = [_jackknife(_sums(c, error), _sums(c, share)) for c in codes]
    if not ways:
        return _jackknife(error, share)
    if len(ways) == 1:
        return ways[0]
    both = group_codes(codes[0] * (int(codes[1].max()) + 1) + codes[1])
    return crossed_variance(*ways, overlap=_jackknife(_sums(both, error), _sums(both, share)))


def group_codes(labels: ArrayLike) -> NDArray[np.intp]:
    """Give each distinct label a number from 0, shape (n,)."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)


@lru_cache(maxsize=4096)  # a large board asks for the same ones thousands of times
def t_quantile(level: float, df: float) -> float:
    """Half-width of a two-sided interval in standard errors; inf without degrees of freedom."""
    if not 0.0 < level < 1.0:
        raise InputError(f"level must lie between 0 and 1; got {level}")
    return float(stats.t.ppf((1.0 + level) / 2.0, df)) if df > 0 else float("inf")


def _sums(codes: NDArray[np.intp], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.bincount(codes, values).astype(float)


def _jackknife(error: NDArray[np.float64], share: NDArray[np.float64]) -> ClusterVariance:
    error, share = error[share > 0], share[share > 0]
    n_clusters = len(share)
    if n_clusters < 2:
        return ClusterVariance(variance=float("nan"), n_effective=float(n_clusters), df=0.0)
    variance = (n_clusters - 1) / n_clusters * float(np.sum((error / (1.0 - share)) ** 2))
    n_effective = 1.0 / float(np.sum(share**2))
    return ClusterVariance(variance=variance, n_effective=n_effective, df=n_effective - 1.0)


def crossed_variance(
    first: ClusterVariance, second: ClusterVariance, *, overlap: ClusterVariance
) -> ClusterVariance:
    """Combine the variances by two groupings and by their intersection.

    See :func:`cluster_variance`.
    """
    variance = max(first.variance + second.variance - overlap.variance, overlap.variance)
    least_df = min(first.df, second.df)
    noise = sum(way.variance**2 / way.df for way in (first, second) if way.df > 0.0)
    trusted = least_df >= _SATTERTHWAITE_FROM_DF and noise > 0.0
    return ClusterVariance(
        variance=variance,
        n_effective=min(first.n_effective, second.n_effective),
        df=max(variance**2 / noise, least_df) if trusted else least_df,
    )
