"""Online Elo, for comparison: its numbers depend on the order of the votes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.votes.columns import OUTCOME_SCORES, Votes

__all__ = ["online_elo"]


def online_elo(
    votes: Votes, *, k: float = 4.0, initial: float = 1000.0, scale: float = 400.0
) -> NDArray[np.float64]:
    """Rate models by updating after each vote, in the order of the votes.

    R_A ← R_A + K (s − 1 / (1 + 10^((R_B − R_A)/scale))), and R_B by the opposite; s is 1 if A won,
    0 if B did, ½ for a tie or for neither. The numbers have no interval and depend on K and on the
    order: use Bradley–Terry ratings to compare models.

    Parameters
    ----------
    votes
        Any number; none leaves every model at ``initial``.
    k
        Largest change by one vote, above 0.
    initial
        Rating before the first vote.
    scale
        Points that make odds of 10 to 1, above 0.

    Returns
    -------
    NDArray
        ``(n_models,)``.

    Raises
    ------
    InputError
        For ``k`` or ``scale`` not above 0.

    References
    ----------
    Elo (1978), The Rating of Chessplayers, Past and Present, sec. 1.6.
    """
    if not (k > 0 and scale > 0):
        raise InputError(f"k and scale must be above 0; got k={k}, scale={scale}")
    ratings = [initial] * len(votes.models)
    scores = OUTCOME_SCORES[votes.winner].tolist()
    rows = zip(
        votes.model_a.tolist(), votes.model_b.tolist(), scores, strict=True
    )  # plain numbers: indexing arrays one by one takes ten times as long
    for a, b, score in rows:
        expected = 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / scale))
        change = k * (score - expected)
        ratings[a] += change
        ratings[b] -= change
    return np.array(ratings)
