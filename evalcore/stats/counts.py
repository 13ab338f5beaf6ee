"""Votes counted into pairs of models: all that ratings need to know of any number of votes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from evalcore.errors import InputError
from evalcore.records import Winner
from evalcore.votes.columns import WINNERS, Votes

__all__ = ["BothBad", "Counts", "count_votes"]

BothBad = Literal["tie", "drop"]
"""What a vote for neither answer counts as."""

_CHUNK_VOTES = 1 << 19  # its keys stay in the cache
_N_OUTCOMES = len(WINNERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How often each model beat and tied each other one."""

    models: tuple[str, ...]
    wins: NDArray[np.float64]
    """``(n_models, n_models)`` weight of the votes in which the row's model beat the column's."""
    ties: NDArray[np.float64]
    """``(n_models, n_models)`` weight of the ties of a pair; symmetric."""
    win_squares: NDArray[np.float64]
    """As ``wins``, of squared weights; equal to it for votes of weight 1."""
    tie_squares: NDArray[np.float64]
    """As ``ties``, of squared weights."""

    @property
    def battles(self) -> NDArray[np.float64]:
        """``(n_models, n_models)`` weight of the votes on each pair; symmetric."""
        return self.wins + self.wins.T + self.ties

    @property
    def votes_per_model(self) -> NDArray[np.float64]:
        """``(n_models,)`` weight of the votes on each model."""
        return np.asarray(self.battles.sum(axis=1))

    @property
    def n_votes(self) -> float:
        """Weight of all votes."""
        return float(self.wins.sum() + self.ties.sum() / 2)

    def add(self, model_a: str, model_b: str, winner: Winner) -> Counts:
        """Count one more vote of weight 1; ``both_bad`` counts as a tie.

        Raises
        ------
        InputError
            For a model that is not among ``models`` or is named twice.
        """
        for model in (model_a, model_b):
            if model not in self.models:
                raise InputError(f"model must be one of {', '.join(self.models)}; got {model!r}")
        if model_a == model_b:
            raise InputError(f"model_a and model_b must differ; got {model_a!r}")
        a, b = self.models.index(model_a), self.models.index(model_b)
        if winner == "model_a":
            return self._plus(wins=[(a, b)])
        if winner == "model_b":
            return self._plus(wins=[(b, a)])
        return self._plus(ties=[(a, b), (b, a)])

    def take(self, models: NDArray[np.intp]) -> Counts:
        """Keep the votes among some models, given by their positions in order."""
        if len(models) == len(self.models):
            return self
        rows = np.ix_(models, models)
        return Counts(
            models=tuple(self.models[int(i)] for i in models),
            wins=self.wins[rows],
            ties=self.ties[rows],
            win_squares=self.win_squares[rows],
            tie_squares=self.tie_squares[rows],
        )

    def _plus(
        self,
        *,
        wins: list[tuple[int, int]] | None = None,
        ties: list[tuple[int, int]] | None = None,
    ) -> Counts:
        return replace(
            self,
            wins=_incremented(self.wins, wins),
            ties=_incremented(self.ties, ties),
            win_squares=_incremented(self.win_squares, wins),
            tie_squares=_incremented(self.tie_squares, ties),
        )


def count_votes(
    votes: Votes, *, weights: NDArray[np.float64] | None = None, both_bad: BothBad = "tie"
) -> Counts:
    """Count votes in one pass.

    Parameters
    ----------
    votes
        Any number of votes, also none; votes between a model and itself are not permitted.
    weights
        Shape ``(n,)``, finite and at least 0; 1 each if not given.
    both_bad
        Count votes for neither answer as ties, or leave them out.

    Returns
    -------
    Counts
        Sums of the weights and of their squares.

    Raises
    ------
    InputError
        For weights that are negative, not finite or too few, for votes of a model on itself, and
        for codes that stand for no model or outcome.
    """
    _check_codes(votes)
    if weights is not None:
        _check_weights(weights, len(votes))
    wins, ties = _tables(votes, weights, both_bad)
    if np.diagonal(wins).any() or np.diagonal(ties).any():
        selves = np.flatnonzero(np.diagonal(wins) + np.diagonal(ties))
        named = ", ".join(votes.models[i] for i in selves)
        raise InputError(f"model_a and model_b must differ; {named} met itself ({votes.source})")
    squares = (wins, ties) if weights is None else _tables(votes, weights**2, both_bad)
    return Counts(
        models=votes.models, wins=wins, ties=ties, win_squares=squares[0], tie_squares=squares[1]
    )


def _check_codes(votes: Votes) -> None:
    """Make sure that every vote falls into the table: SciPy would write beside it."""
    n_models = len(votes.models)
    for codes, n_names in (
        (votes.model_a, n_models),
        (votes.model_b, n_models),
        (votes.winner, _N_OUTCOMES),
    ):
        signed = codes.dtype.kind == "i"
        if len(codes) and (codes.max() >= n_names or (signed and codes.min() < 0)):
            raise InputError(f"codes must lie in [0, {n_names}) ({votes.source})")


def _check_weights(weights: NDArray[np.float64], n_votes: int) -> None:
    if weights.shape != (n_votes,):
        raise InputError(f"weights must have shape ({n_votes},); got {weights.shape}")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise InputError("weights must be finite and at least 0")


def _tables(
    votes: Votes, weights: NDArray[np.float64] | None, both_bad: BothBad
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a_wins, b_wins, ties, both = _cells(votes, weights).astype(np.float64)
    if both_bad == "tie":
        ties = ties + both
    return a_wins + b_wins.T, ties + ties.T


def _cells(votes: Votes, weights: NDArray[np.float64] | None) -> NDArray[Any]:
    """Weight of the votes by outcome, model A and model B.

    A chunk of votes is a sparse column: vote v adds its weight to the row of its cell, and the
    column's product with 1 is the histogram. That takes 32-bit keys, made of 16-bit pairs, which
    stay in the cache; NumPy's bincount wants 64 bits and looks for the extremes first, and takes
    twice as long.
    """
    n_models = len(votes.models)
    size = _N_OUTCOMES * n_models * n_models
    n_most = min(_CHUNK_VOTES, len(votes))
    pairs: NDArray[Any] = np.empty(n_most, np.uint16 if n_models <= 1 << 8 else np.int64)
    keys: NDArray[Any] = np.empty(n_most, np.int32 if size < 1 << 31 else np.int64)
    ones = np.ones(n_most, np.int32)
    total = np.zeros(size, np.int64 if weights is None else np.float64)
    for start in range(0, len(votes), _CHUNK_VOTES):
        rows = slice(start, start + _CHUNK_VOTES)
        winner = votes.winner[rows]
        pair, key = pairs[: len(winner)], keys[: len(winner)]
        pair[:] = votes.model_a[rows]
        pair *= n_models
        pair += votes.model_b[rows].astype(pair.dtype, copy=False)
        key[:] = winner
        key *= n_models * n_models
        key += pair
        weight: NDArray[Any] = ones[: len(winner)] if weights is None else weights[rows]
        column = csc_array((weight, key, [0, len(winner)]), shape=(size, 1))
        total += column @ np.ones(1, weight.dtype)
    return total.reshape(_N_OUTCOMES, n_models, n_models)


def _incremented(
    table: NDArray[np.float64], cells: list[tuple[int, int]] | None
) -> NDArray[np.float64]:
    if not cells:
        return table
    copy = table.copy()
    for row, column in cells:
        copy[row, column] += 1.0
    return copy
