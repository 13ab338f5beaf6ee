"""Which votes depend on each other, and which are among the models that have a rating."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.votes.columns import Categories, Votes

__all__ = ["ClusterName", "cluster_codes", "votes_among"]

ClusterName = Literal["rater", "example"]


def cluster_codes(
    votes: Votes,
    wanted: tuple[ClusterName, ...] | None,
    *,
    rated: NDArray[np.intp] | None = None,
) -> tuple[dict[str, NDArray[np.int64]], tuple[str, ...]]:
    """Give each vote the number of its cluster, in each grouping.

    Parameters
    ----------
    votes
        At least one.
    wanted
        Groupings; None means those that the votes have. With a single rater (or example) there is
        nothing to cluster by, which is said in a warning.
    rated
        Rows of the votes that the ratings rest on, all if not given. Others may have raters that
        these have not.

    Returns
    -------
    tuple
        Cluster numbers ``(n,)`` by name of the grouping, a vote without a name being a cluster of
        its own; and warnings.

    Raises
    ------
    InputError
        If the votes have no such grouping.
    """
    given: dict[ClusterName, Categories | None] = {"rater": votes.rater, "example": votes.example}
    groupings, warnings = {}, []
    among = slice(None) if rated is None else rated
    for name in given if wanted is None else wanted:
        categories = given[name]
        if categories is None:
            if wanted is not None:
                raise InputError(f"votes have no {name} to cluster by ({votes.source})")
        elif _is_one(categories.codes) or _is_one(categories.codes[among]):
            which = "votes" if _is_one(categories.codes) else "votes between rated models"
            warnings.append(
                f"all {which} have one {name}: the intervals say nothing about another {name}"
            )
        else:
            alone = len(categories.names) + np.arange(len(votes))
            groupings[str(name)] = np.where(categories.codes < 0, alone, categories.codes)
    return groupings, tuple(warnings)


def _is_one(codes: NDArray[np.signedinteger]) -> bool:
    return len(codes) > 0 and bool(codes[0] >= 0) and bool((codes == codes[0]).all())


def votes_among(
    votes: Votes, models: NDArray[np.intp], *, where: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Find the votes between some models.

    Parameters
    ----------
    votes
        Any number.
    models
        ``(m,)`` positions among ``votes.models``.
    where
        ``(n,)`` votes to consider.

    Returns
    -------
    tuple of NDArray
        Rows of those votes, and the positions of A and of B within ``models``.
    """
    place = np.full(len(votes.models), -1)
    place[models] = np.arange(len(models))
    a, b = place[votes.model_a], place[votes.model_b]
    rows = np.flatnonzero(where & (a >= 0) & (b >= 0))
    return rows, a[rows], b[rows]
