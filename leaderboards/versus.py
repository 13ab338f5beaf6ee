"""Every model against the reference: win rate, difference and parity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evalcore.stats.parity import parity_test
from evalcore.stats.win_rate import PairVotes, win_rate
from evalcore.votes.columns import Votes
from leaderboards.comparing import TaskValues
from leaderboards.records import Versus
from leaderboards.request import BoardRequest

__all__ = ["versus_scores", "versus_votes"]


def versus_votes(votes: Votes, request: BoardRequest) -> dict[str, Versus]:
    """Compare each model with the reference by the votes between the two.

    Parameters
    ----------
    votes
        Models go by fingerprint.
    request
        Reference (a fingerprint), margin and level.

    Returns
    -------
    dict
        By fingerprint; empty without a reference, or where it has no votes.
    """
    reference = request.reference
    if reference is None or reference not in votes.models:
        return {}
    code = votes.models.index(reference)
    between = votes.take((votes.model_a == code) | (votes.model_b == code))
    return {
        model: _versus(PairVotes.from_votes(between, model, reference), request)
        for model in votes.models
        if model != reference
    }


def versus_scores(
    tasks: Sequence[TaskValues],
    fingerprints: Sequence[str],
    request: BoardRequest,
    *,
    higher_is_better: bool,
) -> Mapping[str, Versus]:
    """Compare each model with the reference example by example: the better score wins.

    Examples of a group count as one rater's votes would, not as independent ones.
    """
    reference = request.reference
    if reference is None or reference not in fingerprints:
        return {}
    return {
        model: _versus(_battles(tasks, model, reference, higher=higher_is_better), request)
        for model in fingerprints
        if model != reference
    }


def _battles(tasks: Sequence[TaskValues], model: str, reference: str, *, higher: bool) -> PairVotes:
    scores, groups, n_before = [], [], 0
    for task in tasks:
        difference = task.of(model) - task.of(reference)
        scored = ~np.isnan(difference)
        sign = np.sign(difference[scored]) * (1.0 if higher else -1.0)
        scores.append((sign + 1.0) / 2.0)
        labels = np.arange(len(difference)) if task.groups is None else task.groups
        groups.append(labels[scored] + n_before)
        n_before += len(difference)
    return PairVotes(
        scores=np.concatenate(scores) if scores else np.zeros(0),
        examples=np.concatenate(groups) if groups else None,
    )


def _versus(votes: PairVotes, request: BoardRequest) -> Versus:
    rate = win_rate(votes, level=request.level)
    test = parity_test(rate, margin=request.margin, alpha=1.0 - request.level)
    return Versus(
        win_rate=rate.estimate,
        wins=rate.wins,
        ties=rate.ties,
        losses=rate.losses,
        p_difference=test.p_difference if rate.estimate.n else math.nan,
        p_parity=test.p_parity if rate.estimate.n else math.nan,
        smallest_margin=test.smallest_margin,
        verdict=test.words,
    )
