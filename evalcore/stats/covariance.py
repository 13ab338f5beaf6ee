"""Sandwich covariance of fitted strengths: by vote, by cluster, and by two crossed clusterings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from evalcore.stats.bradley_terry import PairFit
from evalcore.stats.counts import Counts
from evalcore.stats.newton import laplacian

__all__ = ["ClusteredVotes", "Covariance", "cluster_covariance", "told", "vote_covariance"]

_MOST_DENSE = 1 << 24
"""Entries of a table of clusters by models."""


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

    def take(self, rows: NDArray[np.bool_]) -> ClusteredVotes:
        """Keep some votes, without their clusters."""
        places = np.flatnonzero(rows)
        return ClusteredVotes(
            model_a=self.model_a[places],
            model_b=self.model_b[places],
            residual=self.residual[places],
            information=self.information[places],
            extra=self.extra[:, places] if len(self.extra) else np.zeros((0, len(places))),
            clusters=(),
        )


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
    cluster, sizes = _numbered(codes)
    total = _model_sums(votes, np.zeros(len(codes), np.intp), votes.information, (1, n_models))[0]
    alone = sizes[cluster] == 1
    meat, share_squares = _meat_of_votes(votes.take(alone), total)
    rest, number = votes, cluster
    if alone.any():
        rest, number = votes.take(~alone), (np.cumsum(sizes > 1) - 1)[cluster[~alone]]
    is_small = int(np.sum(sizes > 1)) * n_models <= _MOST_DENSE
    more, more_squares = (_meat_dense if is_small else _meat_sparse)(rest, number, total)
    meat, share_squares = meat + more, share_squares + more_squares
    df = 1 / np.where(share_squares > 0, share_squares, 1.0) - 1
    n_clusters = max(len(sizes), 1)
    return Covariance(
        matrix=(n_clusters - 1) / n_clusters * (bread @ meat @ bread),
        df=np.where(df > 1e-9, df, 0.0),
    )


def _numbered(codes: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give clusters numbers from 0 without gaps, and count the votes of each."""
    if not len(codes):
        return codes.astype(np.intp), np.zeros(0, np.intp)
    if codes.max() < 8 * len(codes):  # then a table is quicker than sorting
        there = np.bincount(codes)
        return (np.cumsum(there > 0) - 1)[codes], there[there > 0]
    _found, numbers, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    return numbers, sizes


def _meat_of_votes(
    votes: ClusteredVotes, total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum s sᵀ over votes that are clusters of their own, and the squares of their shares."""
    n_models, a, b = len(total), votes.model_a, votes.model_b
    share_a, share_b = votes.information / total[a], votes.information / total[b]
    score_a, score_b = votes.residual * _kept(share_a), -votes.residual * _kept(share_b)
    cross = np.bincount(a * n_models + b, score_a * score_b, n_models**2)
    meat = np.asarray(cross.reshape(n_models, n_models), np.float64)
    meat = meat + meat.T
    meat[np.diag_indices(n_models)] += np.bincount(a, score_a**2, n_models)
    meat[np.diag_indices(n_models)] += np.bincount(b, score_b**2, n_models)
    sides = [
        np.bincount(a, score_a * extra, n_models) + np.bincount(b, score_b * extra, n_models)
        for extra in votes.extra
    ]
    squares = np.bincount(a, share_a**2, n_models) + np.bincount(b, share_b**2, n_models)
    bordered = _bordered(meat, np.array(sides, np.float64), votes.extra @ votes.extra.T)
    return bordered, np.asarray(squares, np.float64)


def _meat_dense(
    votes: ClusteredVotes, cluster: NDArray[np.intp], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum s sᵀ over clusters in a table of clusters by models."""
    shape = int(cluster.max(initial=-1)) + 1, len(total)
    share = _model_sums(votes, cluster, votes.information, shape) / total
    scores = _model_sums(votes, cluster, votes.residual, shape, sign=-1.0) * _kept(share)
    extra = _extra_sums(votes, cluster, shape[0])
    meat = _bordered(scores.T @ scores, (scores.T @ extra.T).T, extra @ extra.T)
    return meat, np.sum(share**2, axis=0)


def _meat_sparse(
    votes: ClusteredVotes, cluster: NDArray[np.intp], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum s sᵀ over clusters so many that a table of them by models would not fit."""
    shape = int(cluster.max(initial=-1)) + 1, len(total)
    place = np.tile(cluster, 2), np.concatenate([votes.model_a, votes.model_b])
    # both have their entries in the same places
    scores, share = (
        coo_array((np.concatenate([values, sign * values]), place), shape=shape).tocsr()
        for values, sign in ((votes.residual, -1.0), (votes.information, 1.0))
    )
    share.data /= total[share.indices]
    scores.data *= _kept(share.data)
    extra = _extra_sums(votes, cluster, shape[0])
    meat = _bordered((scores.T @ scores).toarray(), (scores.T @ extra.T).T, extra @ extra.T)
    squares = np.bincount(share.indices, share.data**2, shape[1])
    return meat, np.asarray(squares, np.float64)


def _kept(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """1/(1 − h) of the shares h; 0 for a lone cluster, which tells no variance."""
    lone = share >= 1 - 1e-9
    return np.where(lone, 0.0, 1 / np.where(lone, 1.0, 1 - share))


def _bordered(
    meat: NDArray[np.float64], cross: NDArray[np.float64], extra: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put the rows of the parameters beyond the strengths below and beside theirs."""
    if not len(extra):
        return meat
    return np.block([[meat, cross.T], [cross, extra]])


def _extra_sums(
    votes: ClusteredVotes, cluster: NDArray[np.intp], n_clusters: int
) -> NDArray[np.float64]:
    sums = [np.bincount(cluster, values, n_clusters) for values in votes.extra]
    return np.array(sums, np.float64).reshape(len(votes.extra), n_clusters)


def _model_sums(
    votes: ClusteredVotes,
    cluster: NDArray[np.intp],
    values: NDArray[np.float64],
    shape: tuple[int, int],
    *,
    sign: float = 1.0,
) -> NDArray[np.float64]:
    """Sum values by cluster and model, at A as they are and at B with the sign."""
    size, first = shape[0] * shape[1], cluster * shape[1]
    at_a = np.bincount(first + votes.model_a, values, size)
    sums = at_a + sign * np.bincount(first + votes.model_b, values, size)
    return np.asarray(sums, np.float64).reshape(shape)


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
