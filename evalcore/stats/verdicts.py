"""Which of a judge's verdicts are on what humans voted on, and which on the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import VotesError
from evalcore.votes.columns import OUTCOME_SCORES, Votes

__all__ = ["MatchedVerdicts", "match_verdicts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedVerdicts:
    """Human votes with the judge's verdict on the same answers, and its other verdicts."""

    human: Votes
    """Votes on answers that the judge has seen; n of them."""
    verdict_on_human: NDArray[np.float64]
    """``(n,)`` the judge's mean score of A on those answers, from 0 to 1."""
    low: NDArray[np.intp]
    """``(n_other,)`` for each other pair of answers that the judge saw, the one model."""
    high: NDArray[np.intp]
    """``(n_other,)`` the other model."""
    verdict: NDArray[np.float64]
    """``(n_other,)`` the judge's mean score of the model ``low``."""
    n_unjudged: int
    """Human votes left out as the judge has not seen the answers."""


def match_verdicts(votes: Votes) -> MatchedVerdicts:
    """Bring together votes and verdicts by example and pair of models.

    Raises
    ------
    VotesError
        Without ``rater_kind`` or ``example``, or without verdicts on what humans voted on.
    """
    if votes.rater_kind is None or votes.example is None:
        raise VotesError(f"fusion needs rater_kind and example_id ({votes.source})")
    kinds = np.array([*votes.rater_kind.names, ""])[votes.rater_kind.codes]
    known = votes.example.codes >= 0
    human, judge = (votes.take(known & (kinds == kind)) for kind in ("human", "judge"))
    n_models = len(votes.models)
    keys, group = np.unique(_answer_keys(judge), return_inverse=True)
    judge_score = _score_of(judge, judge.model_a < judge.model_b)
    mean = np.bincount(group, judge_score, len(keys)) / np.bincount(group, minlength=len(keys))
    human_key = _answer_keys(human)
    seen = np.isin(human_key, keys)
    if not seen.any():
        raise VotesError(f"fusion needs verdicts on what humans voted on ({votes.source})")
    kept = human.take(seen)
    low_score = mean[np.searchsorted(keys, human_key[seen])]
    rest = ~np.isin(keys, human_key)
    return MatchedVerdicts(
        human=kept,
        verdict_on_human=np.where(kept.model_a < kept.model_b, low_score, 1 - low_score),
        low=keys[rest] // n_models % n_models,
        high=keys[rest] % n_models,
        verdict=mean[rest],
        n_unjudged=int(np.sum(~seen)),
    )


def _answer_keys(votes: Votes) -> NDArray[np.int64]:
    """Give each example and unordered pair of models a number, ``(n,)``."""
    n_models = len(votes.models)
    low = np.minimum(votes.model_a, votes.model_b).astype(np.int64)
    high = np.maximum(votes.model_a, votes.model_b).astype(np.int64)
    example = np.zeros(len(votes), np.int64) if votes.example is None else votes.example.codes
    keys: NDArray[np.int64] = (example.astype(np.int64) * n_models + low) * n_models + high
    return keys


def _score_of(votes: Votes, a_is_meant: NDArray[np.bool_]) -> NDArray[np.float64]:
    score = OUTCOME_SCORES[votes.winner]
    return np.where(a_is_meant, score, 1 - score)
