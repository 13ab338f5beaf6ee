"""Which ranks are likely, given estimates of strengths that err."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from evalcore.stats.ranks import drawn_ranks

__all__ = ["likely_ranks", "rank_probabilities"]

_LEVEL = 0.95
"""At which errors are made as wide as Student's t."""


def likely_ranks(
    ratings: NDArray[np.float64],
    covariance: NDArray[np.float64],
    level: float,
    *,
    df: NDArray[np.float64],
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranges of ranks that hold the true one with a probability close to the level.

    Strengths are drawn from their distribution given the estimates, N(θ̂, V) shrunk towards the
    mean: taken as drawn from N(μ, τ²), τ² by maximum likelihood, they are normal with covariance
    (V⁻¹ + τ⁻²)⁻¹ [1]_. Without shrinking, ranges miss true ranks among models close together, as
    noise is added to noise. Less likely ranks are cut off at either end while this brings the
    range's probability nearer to the level, and not below level − (1 − level)/2.

    Over the models of many such studies, about a share ``level`` of the ranges hold the true rank,
    more where ranks are certain; for one model alone, or for all at once, that is not claimed
    (:func:`~evalcore.stats.ranks.rank_bounds` does). Errors are widened as Student's t is, and
    from few clusters V is drawn towards its diagonal by m/(m + df), as it then says little of how
    estimates vary together.

    Parameters
    ----------
    ratings
        Finite, shape ``(m,)``.
    covariance
        ``(m, m)``.
    level
        In (0, 1).
    df
        ``(m,)`` degrees of freedom of the variances; a model with 0 may have any rank.
    n_draws
        At least 1.
    rng
        Source of randomness.

    Returns
    -------
    tuple of NDArray
        Lowest (best) and highest rank, each ``(m,)``.

    References
    ----------
    .. [1] Laird & Louis (1989), Empirical Bayes ranking methods, J. Educational Statistics 14, 29.
    """
    n_models = len(ratings)
    known = np.flatnonzero(df > 0)
    low, high = np.ones(n_models, np.int64), np.full(n_models, n_models)
    if len(known) > 1:
        free = _centred(covariance)  # so that an anchor makes no difference
        spread = _widened(free[np.ix_(known, known)], df[known], level)
        draws = _shrunk_draws(ratings[known], spread, n_draws, rng)
        low[known], high[known] = _ranges(drawn_ranks(draws), level)
        high[known] += n_models - len(known)
    return low, high


def rank_probabilities(
    ratings: NDArray[np.float64],
    covariance: NDArray[np.float64],
    *,
    df: NDArray[np.float64],
    n_draws: int = 4000,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return how probable each rank is for each model, shape ``(m, m)``, given the estimates.

    Shares of the draws that :func:`likely_ranks` takes its ranges from: strengths given their
    estimates, shrunk towards the mean. Over many models and studies, ranks said to have a
    probability of p are the true ones in a share p of cases. Rows are models, columns ranks from
    the best; rows and columns sum to 1. Their error from drawing is below √(p(1 − p) / n_draws).

    Parameters
    ----------
    ratings
        Finite, shape ``(m,)``; more is better.
    covariance
        ``(m, m)``.
    df
        ``(m,)`` degrees of freedom of the variances, all over 0.
    n_draws
        At least 1.
    rng
        Source of randomness.

    Examples
    --------
    >>> far = rank_probabilities(
    ...     np.array([9.0, 0.0]), np.eye(2) / 100, df=np.full(2, 99.0), rng=np.random.default_rng(0)
    ... )
    >>> far.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    n_models = len(ratings)
    if n_models < 2:
        return np.ones((n_models, n_models))
    spread = _widened(_centred(covariance), df, _LEVEL)
    return _shares(drawn_ranks(_shrunk_draws(ratings, spread, n_draws, rng)))


def _centred(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Covariance of the strengths' distances from their mean."""
    centred = covariance - covariance.mean(axis=0)
    return np.asarray(centred - centred.mean(axis=1, keepdims=True))


def _widened(
    covariance: NDArray[np.float64], df: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    upper = (1 + level) / 2
    wider = np.asarray(stats.t.ppf(upper, df)) / stats.norm.ppf(upper)
    trust = 1 - len(df) / (len(df) + np.median(df))
    kept = np.where(np.eye(len(df), dtype=bool), 1.0, trust)
    return np.asarray(covariance * kept * np.outer(wider, wider))


def _shrunk_draws(
    ratings: NDArray[np.float64],
    covariance: NDArray[np.float64],
    n_draws: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Draw strengths given their estimates, up to a constant; ``(m, n_draws)``."""
    values, vectors = np.linalg.eigh(_centred(covariance))
    noise, axes = np.maximum(values[1:], 1e-12 * values[-1]), vectors[:, 1:]
    estimate = axes.T @ (ratings - ratings.mean())

    def deviance(log_variance: float) -> float:
        total = noise + np.exp(log_variance)
        return float(np.sum(np.log(total) + estimate**2 / total))

    # a variance of 0 would leave ties in place of ranks
    ends = np.log(noise.mean() / 100), np.log(10 * noise.mean() + estimate @ estimate)
    variance = np.exp(optimize.minimize_scalar(deviance, bounds=ends, method="bounded").x)
    share = variance / (variance + noise)
    errors = np.sqrt(share * noise)[:, None] * rng.standard_normal((len(noise), n_draws))
    return np.asarray(axes @ ((share * estimate)[:, None] + errors))


def _shares(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Count how often each model, by row, has each rank, by column."""
    n_draws, m = ranks.shape
    places = (np.arange(m) * m + ranks - 1).ravel()
    return np.asarray(np.bincount(places, minlength=m * m).reshape(m, m) / n_draws)


def _ranges(ranks: NDArray[np.int64], level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut off the less likely end of each model's ranks, ``(n_draws, m)``, again and again."""
    models, m = np.arange(ranks.shape[1]), ranks.shape[1]
    shares = _shares(ranks)
    low, high, held = np.zeros(m, np.int64), np.full(m, m - 1), np.ones(m)
    least = level - (1 - level) / 2
    for _ in range(m - 1):
        at_low = shares[models, low] <= shares[models, high]
        left = held - np.where(at_low, shares[models, low], shares[models, high])
        cut = (low < high) & (left >= least) & (np.abs(left - level) <= np.abs(held - level))
        held = np.where(cut, left, held)
        low, high = low + (cut & at_low), high - (cut & ~at_low)
    return low + 1, high + 1
