"""Ratings over votes: how each one settled as votes came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.counts import count_votes
from evalcore.stats.ratings import rate_counts
from evalcore.votes.columns import Votes

__all__ = ["RatingCurves", "rating_curves"]

_FEWEST = 10
_POINTS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingCurves:
    """Ratings after the first so many votes."""

    models: tuple[str, ...]
    n_votes: tuple[int, ...]
    """Growing; the last is all votes."""
    ratings: NDArray[np.float64]
    """``(n_points, n_models)``; not finite where the votes so far give none."""


def rating_curves(votes: Votes, *, n_points: int = _POINTS) -> RatingCurves:
    """Rate models again and again, after ever more votes in the order of their times.

    Parameters
    ----------
    votes
        At least one; those without a time keep their order.
    n_points
        At most so many ratings, each after the same multiple of votes; the first after 10.

    Returns
    -------
    RatingCurves
    """
    ordered = votes
    if votes.created_s is not None:
        ordered = votes.take(np.argsort(votes.created_s, kind="stable"))
    numbers = _numbers(len(votes), n_points)
    rows = [rate_counts(count_votes(ordered.take(np.arange(number)))).ratings for number in numbers]
    return RatingCurves(models=votes.models, n_votes=tuple(numbers), ratings=np.array(rows))


def _numbers(n_votes: int, n_points: int) -> Sequence[int]:
    first = min(_FEWEST, n_votes)
    return sorted({round(number) for number in np.geomspace(first, n_votes, n_points)})
