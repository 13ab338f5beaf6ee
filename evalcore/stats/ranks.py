"""Ranks, and which of them the data do not rule out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["competition_ranks", "draw_strengths", "drawn_ranks", "rank_bounds", "rank_draws"]


def competition_ranks(ratings: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank ratings from best to worst: 1 plus the number of better ones.

    Parameters
    ----------
    ratings
        Shape ``(m,)``; may be infinite. nan is unrated.

    Returns
    -------
    NDArray
        ``(m,)``; equal ratings share the better rank, 0 is for nan.

    Examples
    --------
    >>> competition_ranks(np.array([10.0, 30.0, 10.0, np.nan])).tolist()
    [2, 1, 2, 0]
    """
    better: NDArray[np.int64] = np.sum(ratings > ratings[:, None], axis=1)
    return np.where(np.isnan(ratings), 0, better + 1)


def draw_strengths(
    covariance: NDArray[np.float64], n_draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw from N(0, V), up to a constant added to all of a draw, which no difference notices.

    Parameters
    ----------
    covariance
        ``(m, m)`` of strengths; singular along the constant, or further.
    n_draws
        At least 1.
    rng
        Source of randomness.

    Returns
    -------
    NDArray
        ``(m, n_draws)``.
    """
    centred = covariance - covariance.mean(axis=0)  # so that an anchor makes no difference
    centred -= centred.mean(axis=1, keepdims=True)
    scale = float(np.diagonal(centred).mean()) or 1.0
    filled = centred + scale
    noise = rng.standard_normal((len(covariance), n_draws))
    try:
        root = np.linalg.cholesky(filled)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(filled)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws: NDArray[np.float64] = root @ noise
    return draws


def rank_draws(
    ratings: NDArray[np.float64],
    covariance: NDArray[np.float64],
    *,
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw rankings: ranks of draws from N(θ̂, V).

    Their shares say how likely a model is to be the best, or among the best k, among models that
    are not close together. Their quantiles are no intervals: among many models close together they
    miss the true rank, since noise is added to noise. For intervals see :func:`rank_bounds` and
    :func:`evalcore.stats.likely_ranks.likely_ranks`.

    Parameters
    ----------
    ratings
        Finite, shape ``(m,)``.
    covariance
        ``(m, m)``.
    n_draws
        At least 1.
    rng
        Source of randomness.

    Returns
    -------
    NDArray
        ``(n_draws, m)`` ranks from 1, the best.
    """
    return drawn_ranks(ratings[:, None] + draw_strengths(covariance, n_draws, rng))


def drawn_ranks(draws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rank each draw of ``(m, n_draws)`` strengths from 1, the best; ``(n_draws, m)``."""
    order = np.argsort(-draws.T, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(draws) + 1)[None, :], axis=1)
    return ranks


def rank_bounds(
    ratings: NDArray[np.float64],
    covariance: NDArray[np.float64],
    level: float,
    *,
    df: NDArray[np.float64],
    n_draws: int = 1000,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ranks that the data do not rule out.

    A model's best rank is 1 plus the number of models significantly better, its worst rank m minus
    the number significantly worse, where its m − 1 differences are tested together: the critical
    value is the quantile over draws from N(0, V) of the largest of their |differences| in standard
    errors. The interval holds the true rank with at least the level's probability, also where
    models are close together; ranks being whole numbers, usually with more [1]_.

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
        Draws behind the critical values.
    rng
        Source of randomness.

    Returns
    -------
    tuple of NDArray
        Lowest (best) and highest rank, each ``(m,)``.

    References
    ----------
    .. [1] Mogstad, Romano, Shaikh & Wilhelm (2024), Inference for ranks with applications to
       mobility across neighbourhoods and academic achievement across countries, Review of Economic
       Studies 91, sec. 3.
    """
    n_models = len(ratings)
    variance = np.diagonal(covariance)
    error = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0.0))
    critical = _largest_deviation(draw_strengths(covariance, n_draws, rng), error, level)
    difference = ratings - ratings[:, None]
    needed = critical[:, None] * error * _heavy_tails(df, level)
    known = (df[:, None] > 0) & (df > 0) & (error > 1e-6 * error.max())  # below it is rounding
    better = np.sum(known & (difference > needed), axis=1)
    worse = np.sum(known & (-difference > needed), axis=1)
    return better + 1, n_models - worse


def _largest_deviation(
    draws: NDArray[np.float64], error: NDArray[np.float64], level: float
) -> NDArray[np.float64]:
    """Quantile, by model, of its largest difference from another one in standard errors.

    Single precision and one half of the pairs at a time: two hundred models are 20,000 pairs.
    """
    narrow = draws.astype(np.float32)
    with np.errstate(divide="ignore"):
        inverse = np.where(error > 0, 1 / error, 0.0).astype(np.float32)
    largest = np.zeros_like(narrow)
    for i in range(len(narrow) - 1):
        deviation = np.abs(narrow[i + 1 :] - narrow[i])
        deviation *= inverse[i, i + 1 :, None]
        np.maximum(largest[i], deviation.max(axis=0), out=largest[i])
        np.maximum(largest[i + 1 :], deviation, out=largest[i + 1 :])
    return np.quantile(largest, level, axis=1).astype(np.float64)


def _heavy_tails(df: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """How much wider Student's t is than the normal, by pair, at the lesser degrees of freedom."""
    upper = (1 + level) / 2
    wider = np.asarray(stats.t.ppf(upper, np.maximum(df, 1e-3)) / stats.norm.ppf(upper))
    return np.asarray(np.maximum(wider, wider[:, None]))
