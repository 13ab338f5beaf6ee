"""From votes to ratings: Bradley–Terry or Davidson, with a sandwich by vote or by cluster."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.bradley_terry import PairFit, fit_bradley_terry
from evalcore.stats.clusters import cluster_codes, votes_among
from evalcore.stats.counts import Counts, count_votes
from evalcore.stats.covariance import (
    ClusteredVotes,
    cluster_covariance,
    vote_covariance,
)
from evalcore.stats.davidson import fit_davidson
from evalcore.stats.rating_options import RatingOptions, Ties
from evalcore.stats.rating_result import POINTS, BradleyTerryResult
from evalcore.stats.rating_scale import CoreEstimate, on_elo_scale, rated_models
from evalcore.stats.rating_warnings import usable_ties
from evalcore.votes.columns import WINNERS, Votes

__all__ = ["RatingOptions", "rate_counts", "rate_votes"]

_DEFAULT = RatingOptions()


def rate_votes(
    votes: Votes,
    options: RatingOptions = _DEFAULT,
    *,
    weights: NDArray[np.float64] | None = None,
) -> BradleyTerryResult:
    """Rate models by votes.

    Parameters
    ----------
    votes
        At least one.
    options
        Tie model, clustering and scale.
    weights
        Shape ``(n,)``, at least 0; 1 each if not given.

    Returns
    -------
    BradleyTerryResult
        Intervals hold for other raters and examples of the same kind where votes are clustered by
        them, else for other votes by the same ones.

    Raises
    ------
    InputError
        For an unknown anchor, an anchor without a rating, or unusable weights.
    """
    counts = count_votes(votes, weights=weights, both_bad=options.both_bad)
    graph = rated_models(counts, options)
    weight = np.ones(len(votes)) if weights is None else weights
    if options.both_bad == "drop":
        weight = np.where(votes.winner == WINNERS.index("both_bad"), 0.0, weight)
    rated, _, _ = votes_among(votes, graph.core, where=weight > 0)
    groupings, warnings = cluster_codes(votes, options.clusters, rated=rated)
    core_counts = counts.take(graph.core)
    fit, tie_warnings = _fit(core_counts, options.ties)
    if groupings:
        clustered = _clustered(votes, weight, fit, groupings.values(), core=graph.core)
        covariance = cluster_covariance(fit.inverse_information, clustered)
    else:
        covariance = vote_covariance(fit, core_counts)
    found = CoreEstimate(
        model=_model_name(fit),
        strengths=fit.strengths,
        covariance=covariance,
        nu=fit.nu,
        clusters=tuple(groupings),
        warnings=(*warnings, *tie_warnings),
    )
    return on_elo_scale(counts, graph, found, options=options)


def rate_counts(
    counts: Counts,
    options: RatingOptions = _DEFAULT,
    *,
    start: BradleyTerryResult | None = None,
) -> BradleyTerryResult:
    """Rate models by counted votes, which count as independent of each other.

    Parameters
    ----------
    counts
        At least one vote.
    options
        Tie model and scale; clustering and ``both_bad`` have no effect any more.
    start
        Ratings of the same models before the last votes, to begin with.

    Returns
    -------
    BradleyTerryResult

    Raises
    ------
    InputError
        For no votes, or an anchor that is not among the models.
    """
    graph = rated_models(counts, options)
    core_counts = counts.take(graph.core)
    first = None if start is None else start.ratings[graph.core] / POINTS
    fit, warnings = _fit(core_counts, options.ties, start=first)
    found = CoreEstimate(
        model=_model_name(fit),
        strengths=fit.strengths,
        covariance=vote_covariance(fit, core_counts),
        nu=fit.nu,
        warnings=warnings,
    )
    return on_elo_scale(counts, graph, found, options=options)


def _fit(
    counts: Counts, ties: Ties, *, start: NDArray[np.float64] | None = None
) -> tuple[PairFit, tuple[str, ...]]:
    usable, warnings = usable_ties(counts, ties)
    if start is not None and not np.isfinite(start).all():
        start = None
    fitter = fit_davidson if usable == "davidson" else fit_bradley_terry
    return fitter(counts, start=start), warnings


def _model_name(fit: PairFit) -> str:
    return "Bradley–Terry, ties as half wins" if fit.nu is None else "Bradley–Terry–Davidson"


def _clustered(
    votes: Votes,
    weight: NDArray[np.float64],
    fit: PairFit,
    clusters: Iterable[NDArray[np.int64]],
    *,
    core: NDArray[np.intp],
) -> ClusteredVotes:
    rows, a, b = votes_among(votes, core, where=weight > 0)
    cell = votes.winner[rows], a, b
    tables = () if fit.tie_residuals is None else (fit.tie_residuals,)
    return ClusteredVotes(
        model_a=a,
        model_b=b,
        residual=weight[rows] * fit.residuals[cell],
        information=weight[rows] * fit.variance[a, b],
        extra=np.array([weight[rows] * table[cell] for table in tables]),
        clusters=[codes[rows] for codes in clusters],
    )
