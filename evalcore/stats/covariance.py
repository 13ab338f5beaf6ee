"""Sandwich covariance of fitted strengths: by vote, by cluster, and by two crossed clusterings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.bradley_terry import PairFit
from evalcore.stats.counts import Counts
from evalcore.stats.newton import laplacian

__all__ = ["ClusteredVotes", "Covariance", "cluster_covariance", "told", "vote_covariance"]

_BLOCK_CLUSTERS = 1 << 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    """Uncertainty of p parameters, of which the first m are strengths that sum to 0."""

    matrix: NDArray[np.float64]
    """``(p, p)``."""
    df: NDArray[np.float64]
    """``(m,)`` degrees of freedom of each variance; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredVotes:
    """The votes among m fitted models with what each adds to the score, and their clusters."""

    model_a: NDArray[np.intp]
    """``(n,)`` position among the fitted models."""
    model_b: NDArray[np.intp]
    """``(n,)``."""
    residual: NDArray[np.float64]
    """``(n,)`` weight times (score − expected score): enters at A, and with the other sign at B."""
    information: NDArray[np.float64]
    """``(n,)`` weight times the variance of the score."""
    extra: NDArray[np.float64]
    """``(n_extra, n)`` score of each parameter beyond the strengths; ``n_extra`` may be 0."""
    clusters: Sequence[NDArray[np.int64]]
    """One or two groupings, each ``(n,)`` of cluster numbers from 0."""


def vote_covariance(fit: PairFit, counts: Counts) -> Covariance:
    """Covariance for votes that are independent of each other.

    V = C (Σ_v s_v s_vᵀ / (1 − h_v)²) C, where C is the inverse information, s_v the vote's score
    and h_v its leverage: the jackknife's form, HC3 [1]_. It needs only the counts.

    References
    ----------
    .. [1] MacKinnon & White (1985), Some heteroskedasticity-consistent covariance matrix estimators
       with improved finite sample properties, J. Econometrics 29, eq. 12.
    """
    bread = fit.inverse_information
    weight = _shrunk(fit, counts)
    n_each = [counts.win_squares, counts.win_squares.T, counts.tie_squares]
    squares = sum(n * r * r for n, r in zip(n_each, fit.residuals[:3], strict=True)) * weight
    meat = laplacian(squares)
    if fit.tie_residuals is not None:
        pairs = list(zip(n_each, fit.residuals[:3], fit.tie_residuals[:3], strict=True))
        cross = np.sum(sum(n * r * u for n, r, u in pairs) * weight, axis=1)
        own = np.sum(sum(n * u**2 for n, _, u in pairs) * weight) / 2
        meat = np.block([[meat, cross[:, None]], [cross[None, :], np.array([[own]])]])
    sums, sums_of_squares = counts.battles.sum(1), (n_each[0] + n_each[1] + n_each[2]).sum(1)
    moved = squares.sum(axis=1) > 1e-12 * sums_of_squares  # ties alone leave no residual
    df = np.where(moved, sums**2 / np.where(moved, sums_of_squares, 1.0) - 1, 0.0)
    return Covariance(matrix=bread @ meat @ bread, df=df)


def cluster_covariance(
    inverse_information: NDArray[np.float64], votes: ClusteredVotes
) -> Covariance:
    """Covariance for votes that depend on each other within clusters, such as raters or examples.

    V = (G−1)/G · C (Σ_g s_g s_gᵀ) C, with the scores of a cluster summed and each entry divided by
    1 − h_g, h_g the cluster's share of that model's information: the jackknife over clusters (CV3)
    with its leverage taken model by model [1]_. Of two crossed groupings V = V₁ + V₂ − V₁₂, V₁₂ by
    their intersection, its negative eigenvalues set to 0 [2]_. A model's degrees of freedom are its
    effective number of clusters 1/Σ h_g², less one [3]_, of the coarser grouping. Where the votes
    of every cluster cancel out, as with a win and a loss by each rater, they are 0: nothing is told
    of how clusters differ.

    References
    ----------
    .. [1] MacKinnon, Nielsen & Webb (2023), Fast and reliable jackknife and bootstrap methods for
       cluster-robust inference, J. Applied Econometrics 38, eq. 15.
    .. [2] Cameron, Gelbach & Miller (2011), Robust inference with multiway clustering, JBES 29,
       eq. 2.13 and sec. 2.4.
    .. [3] Carter, Schnepel & Steigerwald (2017), Asymptotic behavior of a t-test robust to cluster
       heterogeneity, Review of Economics and Statistics 99, eq. 7.
    """
    ways = [_one_way(inverse_information, votes, codes) for codes in votes.clusters]
    if len(ways) == 1:
        return _with_told_df(ways[0], inverse_information)
    first, second = votes.clusters
    crossed = first * (int(second.max(initial=0)) + 1) + second
    both = _one_way(inverse_information, votes, crossed)
    values, vectors = np.linalg.eigh(ways[0].matrix + ways[1].matrix - both.matrix)
    found = Covariance(
        matrix=(vectors * np.maximum(values, 0.0)) @ vectors.T,
        df=np.minimum(ways[0].df, ways[1].df),
    )
    return _with_told_df(found, inverse_information)


def told(
    matrix: NDArray[np.float64], inverse_information: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Say which parameters' variances are more than 0 and rounding, ``(p,)``."""
    return np.asarray(np.diagonal(matrix) > 1e-12 * np.diagonal(inverse_information))


def _with_told_df(found: Covariance, inverse_information: NDArray[np.float64]) -> Covariance:
    known = told(found.matrix, inverse_information)[: len(found.df)]
    return Covariance(matrix=found.matrix, df=np.where(known, found.df, 0.0))


def _one_way(
    bread: NDArray[np.float64], votes: ClusteredVotes, codes: NDArray[np.int64]
) -> Covariance:
    n_models = len(bread) - len(votes.extra)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    ends = np.append(starts[1:], len(order))
    total = _model_sums(votes.model_a, votes.model_b, votes.information, shape=(1, n_models))[0]
    meat = np.zeros_like(bread)
    share_squares = np.zeros(n_models)
    for first in range(0, len(starts), _BLOCK_CLUSTERS):
        low, high = starts[first : first + _BLOCK_CLUSTERS], ends[first : first + _BLOCK_CLUSTERS]
        rows = order[low[0] : high[-1]]
        local = np.repeat(np.arange(len(low)), high - low)
        scores, information = _cluster_sums(votes, rows, local, n_models=n_models)
        share = information / total
        keep = np.where(share < 1 - 1e-9, 1 - share, np.inf)  # a lone cluster tells no variance
        scores[:, :n_models] /= keep
        meat += scores.T @ scores
        share_squares += np.sum(share**2, axis=0)
    n_clusters = max(len(starts), 1)
    df = 1 / np.where(share_squares > 0, share_squares, 1.0) - 1
    return Covariance(
        matrix=(n_clusters - 1) / n_clusters * (bread @ meat @ bread),
        df=np.where(df > 1e-9, df, 0.0),
    )


def _cluster_sums(
    votes: ClusteredVotes, rows: NDArray[np.intp], local: NDArray[np.intp], *, n_models: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores ``(clusters, p)`` and information ``(clusters, m)`` of some clusters' votes."""
    a, b = local * n_models + votes.model_a[rows], local * n_models + votes.model_b[rows]
    shape = (int(local[-1]) + 1, n_models)
    residual = votes.residual[rows]
    scores = _model_sums(a, b, residual, shape=shape, sign=-1.0)
    extra = [np.bincount(local, values[rows], shape[0]) for values in votes.extra]
    information = _model_sums(a, b, votes.information[rows], shape=shape)
    return np.column_stack([scores, *extra]), information


def _model_sums(
    at_a: NDArray[np.intp],
    at_b: NDArray[np.intp],
    values: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    sign: float = 1.0,
) -> NDArray[np.float64]:
    size = shape[0] * shape[1]
    return (np.bincount(at_a, values, size) + sign * np.bincount(at_b, values, size)).reshape(shape)


def _shrunk(fit: PairFit, counts: Counts) -> NDArray[np.float64]:
    """1 / (1 − h)² by pair, h = w·var·(e_i − e_j)ᵀ C (e_i − e_j) the leverage of one vote."""
    n_models = len(counts.models)
    bread = fit.inverse_information[:n_models, :n_models]
    spread = np.diagonal(bread)[:, None] + np.diagonal(bread) - 2 * bread
    battles = counts.battles
    squares = counts.win_squares + counts.win_squares.T + counts.tie_squares
    weight = np.divide(squares, battles, out=np.zeros_like(battles), where=battles > 0)
    leverage = np.minimum(weight * fit.variance * spread, 1 - 1e-6)
    return 1 / (1 - leverage) ** 2
