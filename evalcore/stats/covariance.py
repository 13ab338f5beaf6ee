"""Sandwich covariance of fitted strengths: by vote, by cluster, and by two crossed clusterings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.bradley_terry import PairFit
from evalcore.stats.counts import Counts
from evalcore.stats.newton import laplacian

__all__ = ["ClusteredVotes", "Covariance", "cluster_covariance", "vote_covariance"]

_BLOCK_CLUSTERS = 1 << 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Covariance:
    """Uncertainty of m strengths that sum to 0."""

    matrix: NDArray[np.float64]
    """``(m, m)``."""
    df: NDArray[np.float64]
    """``(m,)`` degrees of freedom of each variance; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusteredVotes:
    """The votes among the fitted models, and the clusters they come in."""

    model_a: NDArray[np.intp]
    """``(n,)`` position among the fitted models."""
    model_b: NDArray[np.intp]
    """``(n,)``."""
    winner: NDArray[np.uint8]
    """``(n,)`` outcome, a position in :data:`evalcore.votes.WINNERS`."""
    weights: NDArray[np.float64] | None
    """``(n,)``; 1 each if None."""
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
    squares = sum(n * r**2 for n, r in zip(n_each, fit.residuals[:3], strict=True)) * weight
    meat = laplacian(squares)
    if fit.tie_residuals is not None:
        pairs = list(zip(n_each, fit.residuals[:3], fit.tie_residuals[:3], strict=True))
        cross = np.sum(sum(n * r * u for n, r, u in pairs) * weight, axis=1)
        own = np.sum(sum(n * u**2 for n, _, u in pairs) * weight) / 2
        meat = np.block([[meat, cross[:, None]], [cross[None, :], np.array([[own]])]])
    n_models = len(counts.models)
    sums, sums_of_squares = counts.battles.sum(1), (n_each[0] + n_each[1] + n_each[2]).sum(1)
    told = squares.sum(axis=1) > 1e-12 * sums_of_squares  # ties alone leave no residual
    df = np.where(told, sums**2 / np.where(told, sums_of_squares, 1.0) - 1, 0.0)
    return Covariance(matrix=(bread @ meat @ bread)[:n_models, :n_models], df=df)


def cluster_covariance(fit: PairFit, votes: ClusteredVotes) -> Covariance:
    """Covariance for votes that depend on each other within clusters, such as raters or examples.

    V = (G−1)/G · C (Σ_g s_g s_gᵀ) C, with the scores of a cluster summed and each entry divided by
    1 − h_g, h_g the cluster's share of that model's information: the jackknife over clusters (CV3)
    with its leverage taken model by model [1]_. Of two crossed groupings V = V₁ + V₂ − V₁₂, V₁₂ by
    their intersection, its negative eigenvalues set to 0 [2]_. A model's degrees of freedom are its
    effective number of clusters 1/Σ h_g², less one [3]_, of the coarser grouping.

    References
    ----------
    .. [1] MacKinnon, Nielsen & Webb (2023), Fast and reliable jackknife and bootstrap methods for
       cluster-robust inference, J. Applied Econometrics 38, eq. 15.
    .. [2] Cameron, Gelbach & Miller (2011), Robust inference with multiway clustering, JBES 29,
       eq. 2.13 and sec. 2.4.
    .. [3] Carter, Schnepel & Steigerwald (2017), Asymptotic behavior of a t-test robust to cluster
       heterogeneity, Review of Economics and Statistics 99, eq. 7.
    """
    ways = [_one_way(fit, votes, codes) for codes in votes.clusters]
    if len(ways) == 1:
        return ways[0]
    first, second = votes.clusters
    both = _one_way(fit, votes, first * (int(second.max(initial=0)) + 1) + second)
    matrix = ways[0].matrix + ways[1].matrix - both.matrix
    values, vectors = np.linalg.eigh(matrix)
    return Covariance(
        matrix=(vectors * np.maximum(values, 0.0)) @ vectors.T,
        df=np.minimum(ways[0].df, ways[1].df),
    )


def _one_way(fit: PairFit, votes: ClusteredVotes, codes: NDArray[np.int64]) -> Covariance:
    n_models, bread = len(fit.strengths), fit.inverse_information
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    information = _information(fit, votes)
    meat = np.zeros_like(bread)
    share_squares = np.zeros(n_models)
    for first in range(0, len(starts), _BLOCK_CLUSTERS):
        lows = starts[first : first + _BLOCK_CLUSTERS + 1]
        high = lows[-1] if len(lows) > _BLOCK_CLUSTERS else len(order)
        rows = order[lows[0] : high]
        lengths = np.diff(np.append(lows[:_BLOCK_CLUSTERS], high))
        local = np.repeat(np.arange(len(lengths)), lengths)
        scores, weight = _cluster_scores(fit, votes, rows, local)
        share = weight / information
        keep = np.where(share < 1 - 1e-9, 1 - share, np.inf)  # a lone cluster tells no variance
        scores[:, :n_models] /= keep
        meat += scores.T @ scores
        share_squares += np.sum(share**2, axis=0)
    n_clusters = max(len(starts), 1)
    matrix = (n_clusters - 1) / n_clusters * (bread @ meat @ bread)[:n_models, :n_models]
    with np.errstate(divide="ignore"):
        df = np.maximum(1 / share_squares - 1, 0.0)
    return Covariance(matrix=matrix, df=np.where(share_squares > 0, df, 0.0))


def _cluster_scores(
    fit: PairFit, votes: ClusteredVotes, rows: NDArray[np.intp], local: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores ``(clusters, p)`` and information ``(clusters, m)`` of some clusters' votes."""
    n_models, n_clusters = len(fit.strengths), int(local[-1]) + 1
    a, b, outcome = votes.model_a[rows], votes.model_b[rows], votes.winner[rows]
    weight = 1.0 if votes.weights is None else votes.weights[rows]
    at_a, at_b = local * n_models + a, local * n_models + b
    size = n_clusters * n_models

    def spread(values: NDArray[np.float64], sign: float) -> NDArray[np.float64]:
        table = np.bincount(at_a, values, size) + sign * np.bincount(at_b, values, size)
        return table.reshape(n_clusters, n_models)

    scores = spread(weight * fit.residuals[outcome, a, b], -1.0)
    if fit.tie_residuals is not None:
        ties = np.bincount(local, weight * fit.tie_residuals[outcome, a, b], n_clusters)
        scores = np.column_stack([scores, ties])
    return scores, spread(weight * fit.variance[a, b], 1.0)


def _information(fit: PairFit, votes: ClusteredVotes) -> NDArray[np.float64]:
    variance = fit.variance[votes.model_a, votes.model_b]
    weighted = variance if votes.weights is None else votes.weights * variance
    n_models = len(fit.strengths)
    at_a = np.bincount(votes.model_a, weighted, n_models).astype(np.float64)
    return at_a + np.bincount(votes.model_b, weighted, n_models)


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
