"""The columnar record that every statistic of votes starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Comparison, Winner

__all__ = ["OUTCOME_SCORES", "WINNERS", "Categories", "Votes", "code_dtype"]

WINNERS: tuple[Winner, ...] = get_args(Winner)
"""Outcomes in the order of their codes: model_a, model_b, tie, both_bad."""
OUTCOME_SCORES = np.array([1.0, 0.0, 0.5, 0.5])
"""Score of model A by outcome, a tie counting one half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Categories:
    """A column of names, stored as codes."""

    codes: NDArray[np.int32]
    """``(n,)`` positions in ``names``; -1 where the name was not given."""
    names: tuple[str, ...]
    """Each name once, sorted."""

    def take(self, rows: NDArray[Any]) -> Categories:
        """Keep some rows, given by a mask or by positions; the names stay."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """Votes as columns of equal length n, one row per vote; n may be 0.

    Codes are stored as narrowly as they go, three bytes a vote up to 256 models: counting is bound
    by memory.
    """

    models: tuple[str, ...]
    """Names of the models, sorted; the codes below are positions in it."""
    model_a: NDArray[Any]
    """``(n,)`` unsigned codes of the model named A."""
    model_b: NDArray[Any]
    """``(n,)`` unsigned codes of the model named B."""
    winner: NDArray[np.uint8]
    """``(n,)`` codes of the outcome: positions in :data:`WINNERS`."""
    rater: Categories | None = None
    """Who voted."""
    example: Categories | None = None
    """What was voted on."""
    rater_kind: Categories | None = None
    """human, judge, rule or simulated."""
    created_s: NDArray[np.float64] | None = None
    """``(n,)`` time of the vote in seconds since 1970 UTC; nan where not given."""
    swapped: NDArray[np.int8] | None = None
    """``(n,)`` 1 if model B was shown first, 0 if model A was, -1 where not given."""
    features: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """By name, ``(n, 2)``: the feature of A's and of B's answer."""
    source: str = "votes"
    """Where they come from, for messages."""

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Any], *, features: Sequence[str] = (), source: str = "votes"
    ) -> Votes:
        """Encode and check columns of text, such as those of a data frame.

        Parameters
        ----------
        columns
            By the names of a vote file's columns, arrays of shape ``(n,)``: NumPy, pandas (text or
            categories), Arrow or lists. A data frame will do.
        features
            Style features to keep, each from the columns ``NAME_a`` and ``NAME_b``.
        source
            Where they come from, for messages.

        Raises
        ------
        VotesError
            As :func:`evalcore.votes.read_votes`.
        """
        from evalcore.votes.tables import votes_from_columns

        return votes_from_columns(columns, features=features, source=source)

    @classmethod
    def from_comparisons(
        cls, comparisons: Iterable[Comparison], *, source: str = "comparisons"
    ) -> Votes:
        """Encode and check comparisons.

        Raises
        ------
        VotesError
            As :func:`evalcore.votes.read_votes`.
        """
        from evalcore.votes.tables import votes_from_comparisons

        return votes_from_comparisons(comparisons, source=source)

    def __len__(self) -> int:
        """Count the votes."""
        return len(self.winner)

    def take(self, rows: NDArray[Any]) -> Votes:
        """Keep some votes.

        Parameters
        ----------
        rows
            Mask of shape ``(n,)`` or positions.

        Returns
        -------
        Votes
            Those votes; ``models`` and the names of raters and examples stay as they are, so that
            codes mean the same before and after.
        """
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)  # nine columns take positions in half the time
        return replace(
            self,
            model_a=self.model_a[rows],
            model_b=self.model_b[rows],
            winner=self.winner[rows],
            rater=self.rater and self.rater.take(rows),
            example=self.example and self.example.take(rows),
            rater_kind=self.rater_kind and self.rater_kind.take(rows),
            created_s=None if self.created_s is None else self.created_s[rows],
            swapped=None if self.swapped is None else self.swapped[rows],
            features={name: values[rows] for name, values in self.features.items()},
        )


def code_dtype(n_names: int) -> np.dtype[Any]:
    """Return the narrowest unsigned type that holds codes below ``n_names``."""
    return np.min_scalar_type(max(n_names - 1, 0))
