"""Least squares whose errors are dependent within examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Estimate
from evalcore.stats.clustering import group_codes, t_quantile
from evalcore.stats.intervals import share_interval, unanimous_interval

__all__ = ["Fit", "fit", "within"]

_CLUSTERS_AT_ONCE = 4096
_NEGLIGIBLE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients with variances by leaving out one cluster at a time."""

    coefficients: NDArray[np.float64]
    """``(p,)``; nan where the data do not determine one."""
    variances: NDArray[np.float64]
    """``(p,)``; nan with fewer than two clusters."""
    n: int
    """Observations."""
    n_clusters: int

    def estimate(
        self, place: int, *, level: float, bounds: tuple[float, float] = (-math.inf, math.inf)
    ) -> Estimate:
        """Estimate one coefficient: b ± t √V, or the interval of a share within finite bounds."""
        value, variance = float(self.coefficients[place]), float(self.variances[place])
        df = float(self.n_clusters - 1)
        low, high = bounds
        if not math.isnan(value):
            if not variance > _NEGLIGIBLE**2:
                low, high = unanimous_interval(value, self.n_clusters, bounds=bounds, level=level)
            elif math.isfinite(bounds[1] - bounds[0]):
                width = bounds[1] - bounds[0]
                share = (value - bounds[0]) / width
                ends = share_interval(share, variance / width**2, df=df, level=level)
                low, high = (bounds[0] + width * end for end in ends)
            else:
                half = t_quantile(level, df) * math.sqrt(variance)
                low, high = value - half, value + half
        return Estimate(
            value=value,
            low=low,
            high=high,
            confidence_level=level,
            method="least squares, jackknife over examples",
            n=self.n,
        )


def within(values: NDArray[np.float64], groups: NDArray[np.intp]) -> NDArray[np.float64]:
    """Take each group's mean off its values, so that only differences within groups count.

    Parameters
    ----------
    values
        Shape (n,) or (n, p).
    groups
        Shape (n,), numbers from 0.
    """
    if not len(values):
        return values
    counts = np.bincount(groups).astype(float)
    columns = values.reshape(len(values), -1)
    means = np.stack([np.bincount(groups, column) / counts for column in columns.T], axis=1)
    return np.asarray((columns - means[groups]).reshape(values.shape))


def fit(
    design: NDArray[np.float64], target: NDArray[np.float64], clusters: NDArray[np.intp]
) -> Fit:
    """Fit a linear model of scores.

    On the scale of scores a coefficient is a difference of win rates, whatever else shapes them; on
    that of log-odds it would shrink with everything that is left out. The variance is the jackknife
    V = (G−1)/G Σ_g (b₋g − b)², b₋g being the coefficients without cluster g [1]_, and has G − 1
    degrees of freedom.

    Parameters
    ----------
    design
        Shape (n, p), in the order in which columns matter: one that those before it determine gets
        no coefficient.
    target
        Shape (n,).
    clusters
        Labels, shape (n,): rows with one label depend on each other.

    Returns
    -------
    Fit
        All coefficients nan for n = 0.

    References
    ----------
    .. [1] MacKinnon, Nielsen & Webb (2023), Fast and reliable jackknife and bootstrap methods for
       cluster-robust inference, J. Appl. Econometrics 38, eq. 15 (CV3).

    Examples
    --------
    >>> x = np.array([[1.0], [1.0], [-1.0], [-1.0]])
    >>> fit(x, np.array([0.2, 0.4, -0.1, -0.1]), np.arange(4)).coefficients.round(3).tolist()
    [0.2]
    """
    n, p = design.shape
    coefficients, variances = np.full(p, math.nan), np.full(p, math.nan)
    codes = group_codes(clusters)
    n_clusters = int(codes.max(initial=-1)) + 1
    kept = _independent(design)
    if kept:
        x = design[:, kept]
        moments = np.concatenate(
            [x[:, :, None] * x[:, None, :], (x * target[:, None])[:, :, None]], 2
        )
        sums = np.zeros((n_clusters, len(kept), len(kept) + 1))
        np.add.at(sums, codes, moments)
        total = sums.sum(axis=0)
        coefficients[kept] = _solve(total[None])[0]
        if n_clusters > 1:
            without = np.concatenate(
                [
                    _solve(total - sums[start : start + _CLUSTERS_AT_ONCE])
                    for start in range(0, n_clusters, _CLUSTERS_AT_ONCE)
                ]
            )
            squares = ((without - coefficients[kept]) ** 2).sum(axis=0)
            variances[kept] = (n_clusters - 1) / n_clusters * squares
    return Fit(coefficients=coefficients, variances=variances, n=n, n_clusters=n_clusters)


def _solve(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solve the normal equations, stacked as ``[XᵀX | Xᵀy]``, shape (m, p, p + 1)."""
    inverse = np.linalg.pinv(moments[:, :, :-1], hermitian=True)
    return np.asarray((inverse @ moments[:, :, -1:])[:, :, 0])


def _independent(design: NDArray[np.float64]) -> list[int]:
    """Positions of the columns that those before them do not determine."""
    basis: list[NDArray[np.float64]] = []
    kept = []
    for place, column in enumerate(design.T):
        rest = column.astype(float)
        for direction in basis:
            rest = rest - (direction @ rest) * direction
        length = float(np.linalg.norm(rest))
        if length > _NEGLIGIBLE * max(float(np.linalg.norm(column)), 1.0):
            basis.append(rest / length)
            kept.append(place)
    return kept
