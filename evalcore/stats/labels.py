"""Labels that raters gave to units, in columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError, VotesError
from evalcore.stats.clustering import group_codes

if TYPE_CHECKING:
    from evalcore.votes import Votes

__all__ = ["Labels", "pair_labels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels that raters gave to units, such as votes on pairs of answers; one row for each."""

    units: NDArray[Any]
    """What was labelled, shape (n,)."""
    raters: NDArray[Any]
    """Who labelled it, shape (n,); a rater labels a unit once."""
    labels: NDArray[Any]
    """Shape (n,)."""

    def __post_init__(self) -> None:
        """Check that the columns match and no rater labels a unit twice."""
        if not len(self.units) == len(self.raters) == len(self.labels):
            raise InputError(
                "units, raters and labels must be equally many; got "
                f"{len(self.units)}, {len(self.raters)} and {len(self.labels)}"
            )
        pairs = np.stack([group_codes(self.units), group_codes(self.raters)])
        if np.unique(pairs, axis=1).shape[1] != len(self.units):
            raise InputError("a rater must label a unit at most once")

    @classmethod
    def from_votes(cls, votes: Votes) -> Labels:
        """Take votes as labels of units: an example with two models, whichever was called A.

        Both bad counts as a tie. Votes without rater or example are left out, and of several votes
        by one rater on one unit all but the first.

        Raises
        ------
        VotesError
            If the votes have no raters or no examples at all.
        """
        if votes.rater is None or votes.example is None:
            raise VotesError(f"agreement needs rater and example_id ({votes.source})")
        first = np.minimum(votes.model_a, votes.model_b).astype(np.int64)
        second = np.maximum(votes.model_a, votes.model_b).astype(np.int64)
        n_models = len(votes.models)
        unit = (votes.example.codes.astype(np.int64) * n_models + first) * n_models + second
        label = np.array(["model_a", "model_b", "tie", "tie"])[votes.winner]
        turned = np.array(["model_b", "model_a", "tie", "tie"])[votes.winner]
        label = np.where(votes.model_a == first, label, turned)
        known = np.flatnonzero((votes.rater.codes >= 0) & (votes.example.codes >= 0))
        both = np.stack([unit[known], votes.rater.codes[known]])
        rows = known[np.sort(np.unique(both, axis=1, return_index=True)[1])]
        raters = np.array(votes.rater.names)[votes.rater.codes[rows]]
        return cls(units=unit[rows], raters=raters, labels=label[rows])


def pair_labels(
    given: Labels, first: Sequence[Any], second: Sequence[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pair up the labels that raters of two groups gave to the same units.

    Parameters
    ----------
    given
        Labels.
    first
        Raters of the first group.
    second
        Raters of the second group; None: pairs within the first, each once.

    Returns
    -------
    tuple of numpy.ndarray
        Labels of the first and of the second rater of each pair, and the unit, shape (n_pairs,).
    """
    members, others = set(first), set(second or ())
    by_unit: dict[Any, list[int]] = {}
    for row, unit in enumerate(given.units.tolist()):
        by_unit.setdefault(unit, []).append(row)
    raters = given.raters.tolist()
    pairs: list[tuple[int, int]] = []
    for rows in by_unit.values():
        inside = [row for row in rows if raters[row] in members]
        outside = [row for row in rows if raters[row] in others]
        pairs += combinations(inside, 2) if second is None else product(inside, outside)
    index = np.array(pairs, dtype=int).reshape(-1, 2)
    return given.labels[index[:, 0]], given.labels[index[:, 1]], given.units[index[:, 0]]
