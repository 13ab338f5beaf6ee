"""Variance of a mean whose observations come in groups, such as votes by rater and by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evalcore.errors import InputError

__all__ = ["ClusterVariance", "cluster_variance", "group_codes", "t_quantile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterVariance:
    """Squared standard error of a mean and how well it is known."""

    variance: float
    """Squared standard error; nan with fewer than two clusters."""
    n_effective: float
    """Clusters, counted as (Σh)²/Σh² of their shares of the weight; of the coarsest grouping."""

    @property
    def df(self) -> float:
        """Degrees of freedom of Student's t."""
        return max(self.n_effective - 1.0, 0.0)


def cluster_variance(
    values: ArrayLike, *, weights: ArrayLike | None = None, groupings: Sequence[ArrayLike] = ()
) -> ClusterVariance:
    """Estimate the variance of a weighted mean under one-way or crossed clustering.

    For one grouping this is the delete-one-cluster jackknife,
    V = (G−1)/G · Σ_g (r_g / (1 − h_g))², where r_g = Σ_{i∈g} w_i (y_i − ȳ) / Σw is a cluster's part
    of the error and h_g its share of the weight [1]_. With clusters of one observation and equal
    weights it is s²/n. For two crossed groupings V = V₁ + V₂ − V₁₂, V₁₂ by their intersection [2]_,
    and never less than V₁ or V₂ alone.

    Parameters
    ----------
    values
        Finite observations, shape (n,).
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

    Examples
    --------
    >>> round(cluster_variance([1.0, 2.0, 3.0, 4.0]).variance, 6)  # 5/3 / 4
    0.416667
    """
    observed = np.asarray(values, dtype=float)
    weight = np.ones(len(observed)) if weights is None else np.asarray(weights, dtype=float)
    total = weight.sum()
    if len(observed) == 0 or total <= 0:
        return ClusterVariance(variance=float("nan"), n_effective=0.0)
    share = weight / total
    error = share * (observed - share @ observed)
    codes = [group_codes(labels) for labels in groupings]
    if not codes:
        return _jackknife(error, share)
    ways = [_jackknife(_sums(c, error), _sums(c, share)) for c in codes]
    variance = max(way.variance for way in ways)
    if len(codes) == 2:
        both = group_codes(codes[0] * (int(codes[1].max()) + 1) + codes[1])
        overlap = _jackknife(_sums(both, error), _sums(both, share)).variance
        variance = max(variance, ways[0].variance + ways[1].variance - overlap)
    elif len(codes) > 2:
        raise InputError(f"groupings must be at most two; got {len(codes)}")
    return ClusterVariance(variance=variance, n_effective=min(way.n_effective for way in ways))


def group_codes(labels: ArrayLike) -> NDArray[np.intp]:
    """Give each distinct label a number from 0, shape (n,)."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)


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
        return ClusterVariance(variance=float("nan"), n_effective=float(n_clusters))
    variance = (n_clusters - 1) / n_clusters * float(np.sum((error / (1.0 - share)) ** 2))
    return ClusterVariance(variance=variance, n_effective=1.0 / float(np.sum(share**2)))
