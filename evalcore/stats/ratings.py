"""From votes to ratings: fit, covariance, scale, and what the votes can't tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.stats.bradley_terry import PairFit, fit_bradley_terry
from evalcore.stats.clusters import ClusterName, cluster_codes, votes_among
from evalcore.stats.connectivity import Connectivity, connectivity
from evalcore.stats.counts import BothBad, Counts, count_votes
from evalcore.stats.covariance import (
    ClusteredVotes,
    Covariance,
    cluster_covariance,
    vote_covariance,
)
from evalcore.stats.davidson import fit_davidson
from evalcore.stats.rating_result import POINTS, BradleyTerryResult, Unbounded
from evalcore.stats.rating_warnings import (
    Ties,
    graph_warnings,
    interval_warnings,
    usable_ties,
)
from evalcore.votes.columns import WINNERS, Votes

__all__ = ["ClusterName", "RatingOptions", "Ties", "rate_counts", "rate_votes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingOptions:
    """How votes become ratings."""

    ties: Ties = "half"
    both_bad: BothBad = "tie"
    """What a vote for neither answer counts as."""
    clusters: tuple[ClusterName, ...] | None = None
    """What votes depend on each other within; None means raters and examples where given."""
    anchor: str | None = None
    """Model whose rating is the centre by definition; None means the mean of all."""
    centre: float = 1000.0
    """Rating of the anchor or of the mean."""


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
    groupings, warnings = cluster_codes(votes, options.clusters)
    if not groupings:
        return _rate(counts, options, _by_vote, _Notes(warnings=warnings))
    weight = np.ones(len(votes)) if weights is None else weights
    if options.both_bad == "drop":
        weight = np.where(votes.winner == WINNERS.index("both_bad"), 0.0, weight)

    def by_cluster(fit: PairFit, _: Counts, core: NDArray[np.intp]) -> Covariance:
        rows, a, b = votes_among(votes, core, where=weight > 0)
        ties = () if fit.tie_residuals is None else (fit.tie_residuals,)
        cell = votes.winner[rows], a, b
        clustered = ClusteredVotes(
            model_a=a,
            model_b=b,
            residual=weight[rows] * fit.residuals[cell],
            information=weight[rows] * fit.variance[a, b],
            extra=np.array([weight[rows] * table[cell] for table in ties]),
            clusters=[codes[rows] for codes in groupings.values()],
        )
        return cluster_covariance(fit.inverse_information, clustered)

    notes = _Notes(clusters=tuple(groupings), warnings=warnings)
    return _rate(counts, options, by_cluster, notes)


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
        For an unknown anchor or one without a rating.
    """
    return _rate(counts, options, _by_vote, _Notes(), start=start)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Notes:
    """What to say of a rating beside its numbers."""

    clusters: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


_CovarianceOf = Callable[[PairFit, Counts, NDArray[np.intp]], Covariance]


def _by_vote(fit: PairFit, counts: Counts, _: NDArray[np.intp]) -> Covariance:
    return vote_covariance(fit, counts)


def _rate(
    counts: Counts,
    options: RatingOptions,
    covariance_of: _CovarianceOf,
    notes: _Notes,
    *,
    start: BradleyTerryResult | None = None,
) -> BradleyTerryResult:
    if counts.n_votes <= 0:
        raise InputError("ratings need at least one vote")
    graph = connectivity(counts, _anchor_position(counts, options.anchor))
    core_counts = counts.take(graph.core)
    ties, tie_warnings = usable_ties(core_counts, options.ties)
    first = None if start is None else start.ratings[graph.core]
    first = None if first is None or not np.isfinite(first).all() else first / POINTS
    fit = _FITTERS[ties](core_counts, start=first)
    covariance = covariance_of(fit, core_counts, graph.core)
    found = _on_scale(counts, graph, options, fit=fit, covariance=covariance)
    return replace(
        found,
        method=f"{_MODELS[ties]}; {_sandwich(notes.clusters)}",
        scale=_scale(ties, options),
        warnings=(
            *notes.warnings,
            *tie_warnings,
            *graph_warnings(counts.models, graph),
            *interval_warnings(found, graph, clusters=notes.clusters),
        ),
    )


_FITTERS: Mapping[Ties, Callable[..., PairFit]] = {
    "half": fit_bradley_terry,
    "davidson": fit_davidson,
}
_MODELS: Mapping[Ties, str] = {
    "half": "Bradley–Terry, ties as half wins",
    "davidson": "Bradley–Terry–Davidson",
}


def _anchor_position(counts: Counts, anchor: str | None) -> int | None:
    if anchor is None:
        return None
    if anchor not in counts.models:
        raise InputError(f"anchor must be one of {', '.join(counts.models)}; got {anchor!r}")
    return counts.models.index(anchor)


def _on_scale(
    counts: Counts,
    graph: Connectivity,
    options: RatingOptions,
    *,
    fit: PairFit,
    covariance: Covariance,
) -> BradleyTerryResult:
    """Put strengths on the Elo scale, and the models without one beside them."""
    n_models, core = len(counts.models), graph.core
    strengths = fit.strengths
    matrix = covariance.matrix[: len(core), : len(core)]
    if options.anchor is not None:
        zero = int(np.flatnonzero(core == counts.models.index(options.anchor))[0])
        strengths = strengths - strengths[zero]
        matrix = matrix - matrix[zero] - matrix[:, [zero]] + matrix[zero, zero]
    ratings = np.full(n_models, np.nan)
    ratings[core] = options.centre + POINTS * strengths
    unbounded = _unbounded(counts, graph, ratings)
    ratings[graph.above], ratings[graph.below] = np.inf, -np.inf
    full_matrix = np.full((n_models, n_models), np.nan)
    full_matrix[np.ix_(core, core)] = POINTS**2 * matrix
    full_df = np.zeros(n_models)
    full_df[core] = covariance.df if len(core) > 1 else 0.0
    return BradleyTerryResult(
        models=counts.models,
        ratings=ratings,
        covariance=full_matrix,
        df=full_df,
        anchor=options.anchor,
        n_comparisons=counts.votes_per_model,
        n_votes=counts.n_votes,
        method="",
        scale="",
        nu=fit.nu,
        unbounded=unbounded,
        warnings=(),
    )


def _unbounded(
    counts: Counts, graph: Connectivity, ratings: NDArray[np.float64]
) -> tuple[Unbounded, ...]:
    signed = [*((i, 1) for i in graph.above.tolist()), *((i, -1) for i in graph.below.tolist())]
    met = counts.battles > 0
    in_core = np.isin(np.arange(len(counts.models)), graph.core)
    return tuple(
        Unbounded(
            model=i,
            sign=sign,
            opponents=ratings[met[i] & in_core],
            n_battles=counts.battles[i, met[i] & in_core],
        )
        for i, sign in signed
    )


def _sandwich(clusters: tuple[str, ...]) -> str:
    return f"sandwich clustered by {' and '.join(clusters)}" if clusters else "sandwich by vote"


def _scale(ties: Ties, options: RatingOptions) -> str:
    zero = "mean of the rated models" if options.anchor is None else options.anchor
    own = " of decided votes" if ties == "davidson" else ""
    return f"Elo{own}: 400 points are odds of 10 to 1; {zero} = {options.centre:g}"
