"""When a study with an anytime-valid rule may end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from arena.recorded import RecordedVote
from arena.studies.registry import RegisteredStudy
from evalcore.codec import jsonable
from evalcore.stats.parity import Verdict
from evalcore.stats.sequential import Decision, first_decision
from evalcore.votes.columns import OUTCOME_SCORES, WINNERS

__all__ = ["closed_items", "complete_means", "decide", "is_decided", "kept_decisions", "pair_key"]


def pair_key(models: Iterable[str]) -> str:
    """Return a name for a pair of models in an item's order."""
    return " | ".join(models)


def decide(study: RegisteredStudy, votes: Iterable[RecordedVote]) -> dict[str, Decision]:
    """Apply the study's rule to each pair of models; pairs share the error evenly.

    Returns
    -------
    dict
        By pair; empty for a study with a fixed number of votes.
    """
    if study.definition.stop.rule == "fixed":
        return {}
    means = complete_means(study, votes)
    rule = study.definition.stop.stopping_rule(n_pairs=len(means))
    return {pair: first_decision(of_pair, rule) for pair, of_pair in means.items()}


def complete_means(study: RegisteredStudy, votes: Iterable[RecordedVote]) -> dict[str, list[float]]:
    """Return by pair what the rule looks at: means over items that have all their ratings.

    They are in the order in which they were complete. Votes on one item depend on each other, so
    that single votes must not be looked at; votes that can still change don't count yet.
    """
    scores = _scores_by_item(votes)
    wanted = study.definition.ratings_per_item
    found: dict[str, list[tuple[int, float]]] = {}
    for item in study.plan.of_kind("main"):
        of_pair = found.setdefault(pair_key(item.models), [])
        of_item = scores[item.id][:wanted]
        if len(of_item) == wanted:
            mean = float(np.mean([score for _, score in of_item]))
            of_pair.append((of_item[-1][0], mean))
    return {pair: [mean for _, mean in sorted(means)] for pair, means in found.items()}


def closed_items(study: RegisteredStudy, decisions: Mapping[str, Any]) -> set[str]:
    """Return the items of pairs that are decided; ``decisions`` as the database has them."""
    return {
        item.id
        for item in study.plan.of_kind("main")
        if is_decided(decisions.get("pairs", {}).get(pair_key(item.models)))
    }


def is_decided(decision: Mapping[str, Any] | None) -> bool:
    """Whether a decision in its JSON form ends the comparison of its pair."""
    return decision is not None and decision["verdict"] != Verdict.NOT_ENOUGH_VOTES


def kept_decisions(
    before: Mapping[str, Any], found: Mapping[str, Decision], *, n_complete: int
) -> dict[str, Any]:
    """Return what to store: a decision that was reached stays, whatever comes later."""
    pairs = {key: jsonable(decision) for key, decision in found.items()}
    reached = {key: old for key, old in before.get("pairs", {}).items() if is_decided(old)}
    return {"n_complete": n_complete, "pairs": pairs | reached}


def _scores_by_item(votes: Iterable[RecordedVote]) -> dict[str, list[tuple[int, float]]]:
    """Time and score of the first model, by item, oldest first; only votes that can't change."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for vote in votes:
        if vote.counts and vote.sealed:
            for said in vote.comparisons():
                score = float(OUTCOME_SCORES[WINNERS.index(said.winner)])
                found[vote.battle.item or ""].append((vote.at_ms, score))
    return found
