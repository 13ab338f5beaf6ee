"""Confidence intervals of proportions and means."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.bootstrap import bootstrap_interval
from evalcore.stats.clustering import ClusterVariance, cluster_variance, t_quantile

__all__ = [
    "mean_estimate",
    "proportion_estimate",
    "share_interval",
    "skewed_interval",
    "unanimous_interval",
    "wilson_interval",
]

_BOOTSTRAP_FROM = 50


def wilson_interval(successes: float, n: float, *, level: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion.

    The ends solve |p̂ − p| = z √(p(1−p)/n) for p [1]_, so that they lie within [0, 1] and the
    interval has a width even for p̂ = 0 or 1.

    Parameters
    ----------
    successes
        Between 0 and n; need not be whole, as with an effective n.
    n
        Observations, or the effective number of them; 0 gives (0, 1): nothing is ruled out.
    level
        Confidence level.

    References
    ----------
    .. [1] Wilson (1927), Probable inference, the law of succession, and statistical inference,
       JASA 22, 209-212.

    Examples
    --------
    >>> low, high = wilson_interval(3641, 7042)
    >>> round(low, 4), round(high, 4)
    (0.5054, 0.5287)
    """
    if not 0.0 <= successes <= n:
        raise InputError(f"successes must lie between 0 and n={n}; got {successes}")
    z = t_quantile(level, math.inf)
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    shrink = 1.0 + z * z / n
    centre = (share + z * z / (2.0 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def share_interval(
    share: float, variance: float, *, df: float = math.inf, level: float = 0.95
) -> tuple[float, float]:
    """Interval of a quantity in [0, 1] from its estimate and the variance of that.

    :func:`wilson_interval` for n* = p(1 − p) / V · (z/t)² observations [1]_, where t has ``df``
    degrees of freedom; [0, 1] without variance or degrees of freedom. Near 0 and 1 it is lopsided
    as it should be, where p ± t √V is not.

    References
    ----------
    .. [1] Korn & Graubard (1998), Confidence intervals for proportions with small expected number
       of positive counts estimated from survey data, Survey Methodology 24, section 2.
    """
    if not variance > 0.0 or not df > 0.0:
        return 0.0, 1.0
    share = min(max(share, 0.0), 1.0)
    ratio = t_quantile(level, math.inf) / t_quantile(level, df)
    n_effective = share * (1.0 - share) / variance * ratio**2
    return wilson_interval(share * n_effective, n_effective, level=level)


def unanimous_interval(
    value: float, n: float, *, bounds: tuple[float, float], level: float = 0.95
) -> tuple[float, float]:
    """Interval of a mean where all n observations are equal.

    Such data leave room for a share w = 1 − (α/2)^(1/n) of other values, anywhere in ``bounds``:
    with a larger share, n equal observations would have come up less often than α/2. Hence
    [value − w (value − low), value + w (high − value)]: no zero width, and infinite for a quantity
    without bounds. For n = 0 it is ``bounds``.
    """
    low, high = bounds
    if n <= 0:
        return low, high
    room = 1.0 - ((1.0 - level) / 2.0) ** (1.0 / n)
    return (
        value - room * (value - low) if value > low else low,
        value + room * (high - value) if value < high else high,
    )


def skewed_interval(
    values: NDArray[np.float64],
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of a mean of few values: Student's t, longer on the side of the long tail.

    ȳ ± t s/√n, with s/√n · g (1 + 2t²) / (6√n) added to the upper end if the skewness g is positive
    and to the lower one if it is negative [1]_. Johnson moves both ends by this; here the other end
    stays, since g from few values errs much. With at least ten values that are not more skewed than
    exponential ones it covers what it says; log-normal ones take a hundred.

    Parameters
    ----------
    values
        At least two finite values that are not all equal, shape (n,).
    bounds
        Least and greatest value that the mean can take.
    level
        Confidence level.

    References
    ----------
    .. [1] Johnson (1978), Modified t tests and confidence intervals for asymmetrical populations,
       JASA 73, 536-544; with t² as in Hesterberg (2015), What teachers should know about the
       bootstrap, American Statistician 69, skewness-adjusted t.

    Examples
    --------
    >>> low, high = skewed_interval(np.array([1.0, 1.0, 2.0, 2.0, 3.0, 9.0]))
    >>> round(low, 2), round(high, 2)
    (-0.18, 8.73)
    """
    n, mean = len(values), float(values.mean())
    t = t_quantile(level, n - 1.0)
    error = float(values.std(ddof=1)) / math.sqrt(n)
    skewness = float(stats.skew(values, bias=False)) if n > 2 else 0.0
    shift = skewness * (1.0 + 2.0 * t * t) / (6.0 * math.sqrt(n))
    return (
        max(mean + error * (min(shift, 0.0) - t), bounds[0]),
        min(mean + error * (max(shift, 0.0) + t), bounds[1]),
    )


def proportion_estimate(
    values: ArrayLike, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Estimate a proportion from marks of 0 and 1.

    Without groups this is :func:`wilson_interval`; with groups :func:`share_interval` of their
    :func:`~evalcore.stats.clustering.cluster_variance`, but not of less than that of independent
    marks. If all marks are equal the data don't tell how alike groups are within; then each group
    counts as one observation.

    Parameters
    ----------
    values
        0, 1 or nan (could not be scored: left out and counted), shape (n,).
    groups
        Labels, shape (n,); marks of one group depend on each other. None: all independent.
    level
        Confidence level.

    Returns
    -------
    Estimate
        For n = 0 the value is nan and the interval [0, 1].
    """
    marks, labels, n_unscored = _scored(values, groups)
    if np.any((marks != 0.0) & (marks != 1.0)):
        wrong = marks[(marks != 0.0) & (marks != 1.0)][0]
        raise InputError(f"values of a proportion must be 0, 1 or nan; got {wrong}")
    n = len(marks)
    share = float(marks.mean()) if n else math.nan
    if labels is None or n == 0:
        low, high = wilson_interval(float(marks.sum()), n, level=level)
    else:
        low, high = _clustered_interval(marks, labels, level=level)
    return Estimate(
        value=share,
        low=low,
        high=high,
        confidence_level=level,
        method="Wilson" if labels is None else "Wilson, effective n by group",
        n=n,
        n_unscored=n_unscored,
    )


def mean_estimate(
    values: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate a mean.

    - Plain means: the percentile bootstrap (:func:`~evalcore.stats.bootstrap.bootstrap_interval`);
      of fewer than 50 values :func:`skewed_interval`, as too few to resample.
    - With weights, the ratio Σwy/Σw, or with groups: ȳ ± t √V, V by
      :func:`~evalcore.stats.clustering.cluster_variance`; with finite ``bounds``,
      :func:`share_interval` on their scale.
    - If all values are equal, or there is only one, their spread is unknown and not zero:
      :func:`unanimous_interval`, which is infinite unless the quantity has ``bounds``.

    Parameters
    ----------
    values
        Shape (n,); nan (could not be scored) is left out and counted.
    weights
        Non-negative units behind each value, such as tokens, shape (n,).
    groups
        Labels, shape (n,); values of one group depend on each other.
    level
        Confidence level.
    seed
        Of the bootstrap.
    bounds
        Least and greatest value that the quantity can take.

    Returns
    -------
    Estimate
        For n = 0, or weights that sum to 0, the value is nan and the interval ``bounds``; so it is
        where an infinite value makes the mean infinite.

    Examples
    --------
    >>> mean_estimate([0.25, 0.5, float("nan")], groups=["x", "y", "y"]).n_unscored
    1
    """
    scored, labels, n_unscored = _scored(values, groups)
    shares = _shares(values, weights, scored)
    with np.errstate(invalid="ignore"):
        value = float(shares @ scored) if shares is not None else math.nan
    low, high, method = bounds[0], bounds[1], "none"
    if shares is not None and math.isfinite(value):
        groupings = () if labels is None else (labels,)
        spread = cluster_variance(scored, weights=shares, groupings=groupings)
        if not spread.variance > 1e-24 * value * value:
            low, high = unanimous_interval(value, spread.n_effective, bounds=bounds, level=level)
            method = "all equal"
        elif weights is None and labels is None:
            small = len(scored) < _BOOTSTRAP_FROM
            method = "t, widened for skewness" if small else "percentile bootstrap"
            low, high = (
                skewed_interval(scored, bounds=bounds, level=level)
                if small
                else bootstrap_interval(scored, level=level, seed=seed)
            )
        else:
            low, high = _spread_interval(value, spread, bounds=bounds, level=level)
            method = "cluster-robust t" if labels is not None else "ratio estimator, t"
    return Estimate(
        value=value,
        low=low,
        high=high,
        confidence_level=level,
        method=method,
        n=len(scored),
        n_unscored=n_unscored,
    )


def _scored(
    values: ArrayLike, groups: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.generic] | None, int]:
    """Leave out what could not be scored, and count it."""
    observed = np.asarray(values, dtype=float).reshape(-1)
    labels = None if groups is None else np.asarray(groups)
    if labels is not None and labels.shape != observed.shape:
        raise InputError(f"groups must be as many as values, {len(observed)}; got {len(labels)}")
    kept = ~np.isnan(observed)
    return observed[kept], None if labels is None else labels[kept], int((~kept).sum())


def _shares(
    values: ArrayLike, weights: ArrayLike | None, scored: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Weights of the scored values, summing to 1; None if there is nothing to weigh."""
    if weights is None:
        return np.full(len(scored), 1.0 / len(scored)) if len(scored) else None
    observed = np.asarray(values, dtype=float).reshape(-1)
    given = np.asarray(weights, dtype=float).reshape(-1)
    if given.shape != observed.shape:
        raise InputError(f"weights must be as many as values, {len(observed)}; got {len(given)}")
    kept = given[~np.isnan(observed)]
    if not np.all(kept >= 0.0) or np.any(np.isinf(kept)):
        raise InputError(f"weights must be finite and not negative; got {kept.min()}")
    return kept / kept.sum() if kept.sum() > 0 else None


def _spread_interval(
    value: float, spread: ClusterVariance, *, bounds: tuple[float, float], level: float
) -> tuple[float, float]:
    low, width = bounds[0], bounds[1] - bounds[0]
    if math.isfinite(width):
        share, variance = (value - low) / width, spread.variance / width**2
        ends = share_interval(share, variance, df=spread.df, level=level)
        return low + width * ends[0], low + width * ends[1]
    half = t_quantile(level, spread.df) * math.sqrt(spread.variance)
    return max(value - half, bounds[0]), min(value + half, bounds[1])


def _clustered_interval(
    marks: NDArray[np.float64], labels: NDArray[np.generic], *, level: float
) -> tuple[float, float]:
    share = float(marks.mean())
    spread = cluster_variance(marks, groupings=(labels,))
    if share in (0.0, 1.0):
        n_clusters = spread.n_effective
        return wilson_interval(share * n_clusters, n_clusters, level=level)
    variance = max(spread.variance, share * (1.0 - share) / len(marks))
    return share_interval(share, variance, df=spread.df, level=level)
