"""A jury: several judges whose verdicts are counted by weight."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from evalcore.hashing import content_hash
from evalcore.judges.merging import Outcome, Status
from evalcore.judges.rated import RatedTurn
from evalcore.judges.records import Judge
from evalcore.records import ModelSpec, Winner

__all__ = ["jury", "jury_outcome", "jury_rating"]

_SAME = 1e-9  # weights such as 0.1 don't add up exactly


def jury(judges: Sequence[Judge]) -> Judge:
    """Return the jury as a judge of its own; its name and fingerprint hold members and weights."""
    members = [f"{judge.name}×{judge.weight:g}" for judge in judges]
    identity = sorted([judge.fingerprint, f"{judge.weight:g}"] for judge in judges)
    name = f"jury({', '.join(members)})"
    spec = ModelSpec(name=name, backend="jury", weights=content_hash(identity))
    return Judge(name=name, spec=spec)


def jury_outcome(judges: Sequence[Judge], outcomes: Sequence[Outcome]) -> Outcome:
    """Let judges vote on a pair.

    The winner (first, second, tie or both bad) with the most weight wins; if several have the most,
    it is a tie. Judges without a winner abstain; if those who vote have half of the weight or less,
    the pair is unscored.

    Parameters
    ----------
    judges, outcomes
        One outcome for each judge, in the same order; at least one.
    """
    votes: dict[Winner, float] = defaultdict(float)
    for judge, outcome in zip(judges, outcomes, strict=True):
        if outcome.winner is not None:
            votes[outcome.winner] += judge.weight
    total = sum(judge.weight for judge in judges)
    costs = [outcome.cost_usd for outcome in outcomes if outcome.cost_usd is not None]
    shared = replace(
        outcomes[0],
        n_orders=max(outcome.n_orders for outcome in outcomes),
        cost_usd=sum(costs) if costs else None,
    )
    if not sum(votes.values()) > total / 2 + _SAME:
        return replace(shared, status="unscored", winner=None, value=math.nan)
    all_settled = all(outcome.status == "settled" for outcome in outcomes)
    value = _weighted([outcome.score for outcome in outcomes], judges)
    status: Status = "settled" if all_settled else "agreed" if len(votes) == 1 else "disagreed"
    return replace(shared, status=status, winner=_most(votes), value=value)


def jury_rating(judges: Sequence[Judge], rated: Sequence[RatedTurn]) -> RatedTurn:
    """Return the weighted means of ratings of one answer, overall and by criterion.

    Judges without a rating abstain; nan where those who rate have half of the weight or less.

    Parameters
    ----------
    judges, rated
        One rating for each judge, in the same order; at least one.
    """
    given = [j.weight for j, item in zip(judges, rated, strict=True) if not math.isnan(item.value)]
    if not sum(given) > sum(judge.weight for judge in judges) / 2 + _SAME:
        return replace(rated[0], value=math.nan, parts={})
    names = {name for item in rated for name in item.parts}
    parts = {
        name: _weighted([item.parts.get(name, math.nan) for item in rated], judges)
        for name in sorted(names)
    }
    return replace(rated[0], value=_weighted([item.value for item in rated], judges), parts=parts)


def _most(votes: Mapping[Winner, float]) -> Winner:
    best = max(votes.values())
    leading = [winner for winner, weight in votes.items() if weight > best - _SAME]
    return leading[0] if len(leading) == 1 else "tie"


def _weighted(values: Sequence[float], judges: Sequence[Judge]) -> float:
    known = [(v, judge.weight) for v, judge in zip(values, judges, strict=True) if v == v]
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)
