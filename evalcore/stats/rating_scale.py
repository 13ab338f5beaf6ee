"""Put strengths on the Elo scale, with the models that have none beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.stats.connectivity import Connectivity, connectivity
from evalcore.stats.counts import Counts
from evalcore.stats.covariance import Covariance
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import POINTS, BradleyTerryResult, Unbounded
from evalcore.stats.rating_warnings import graph_warnings, interval_warnings

__all__ = ["CoreEstimate", "on_elo_scale", "rated_models"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreEstimate:
    """Strengths of the models that are joined both ways."""

    model: str
    """Name of the statistical model."""
    strengths: NDArray[np.float64]
    """``(m,)`` natural logarithm of the odds, sum 0."""
    covariance: Covariance
    """Its first m parameters are the strengths."""
    nu: float | None = None
    """Davidson's tie parameter; None where ties are half wins."""
    clusters: tuple[str, ...] = ()
    """What the covariance is clustered by."""
    warnings: tuple[str, ...] = ()


def rated_models(counts: Counts, options: RatingOptions) -> Connectivity:
    """Find the models that have a finite rating, the anchor being one.

    Raises
    ------
    InputError
        For no votes, or an anchor that is not among the models.
    """
    if counts.n_votes <= 0:
        raise InputError("ratings need at least one vote")
    return connectivity(counts, _anchor_position(counts, options.anchor))


def on_elo_scale(
    counts: Counts, graph: Connectivity, found: CoreEstimate, *, options: RatingOptions
) -> BradleyTerryResult:
    """Make a result of the estimated strengths, with what can't be told named.

    Parameters
    ----------
    counts
        The votes, on all models.
    graph
        Which models are estimated.
    found
        Their strengths.
    options
        Anchor and centre of the scale.
    """
    core = graph.core
    points, matrix = _points(found, core == _anchor_position(counts, options.anchor), options)
    ratings, covariance, df = _spread(graph, points, matrix, n_models=len(counts.models))
    df[core] = found.covariance.df[: len(core)] if len(core) > 1 else 0.0
    unbounded = _unbounded(counts, graph, ratings)
    ratings[graph.above], ratings[graph.below] = np.inf, -np.inf
    result = BradleyTerryResult(
        models=counts.models,
        ratings=ratings,
        covariance=covariance,
        df=df,
        anchor=options.anchor,
        n_comparisons=counts.votes_per_model,
        n_votes=counts.n_votes,
        method=f"{found.model}; {_sandwich(found.clusters)}",
        scale=_scale(found.nu, options),
        nu=found.nu,
        unbounded=unbounded,
        warnings=(*found.warnings, *graph_warnings(counts.models, graph)),
    )
    unknown = interval_warnings(result, found.clusters)
    return replace(result, warnings=result.warnings + unknown)


def _anchor_position(counts: Counts, anchor: str | None) -> int | None:
    if anchor is None:
        return None
    if anchor not in counts.models:
        raise InputError(f"anchor must be one of {', '.join(counts.models)}; got {anchor!r}")
    return counts.models.index(anchor)


def _points(
    found: CoreEstimate, is_anchor: NDArray[np.bool_], options: RatingOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ratings and their covariance, relative to the anchor if there is one."""
    strengths = found.strengths
    matrix = found.covariance.matrix[: len(strengths), : len(strengths)]
    if options.anchor is not None:
        zero = int(np.argmax(is_anchor))
        strengths = strengths - strengths[zero]
        matrix = matrix - matrix[zero] - matrix[:, [zero]] + matrix[zero, zero]
    return options.centre + POINTS * strengths, POINTS**2 * matrix


def _spread(
    graph: Connectivity,
    points: NDArray[np.float64],
    matrix: NDArray[np.float64],
    *,
    n_models: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Ratings, covariance and (empty) degrees of freedom of all models; nan outside the core."""
    ratings = np.full(n_models, np.nan)
    covariance = np.full((n_models, n_models), np.nan)
    ratings[graph.core] = points
    covariance[np.ix_(graph.core, graph.core)] = matrix
    return ratings, covariance, np.zeros(n_models)


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


def _scale(nu: float | None, options: RatingOptions) -> str:
    zero = "mean of the rated models" if options.anchor is None else options.anchor
    own = "" if nu is None else " of decided votes"
    return f"Elo{own}: 400 points are odds of 10 to 1; {zero} = {options.centre:g}"
