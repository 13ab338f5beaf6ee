"""What a ballot may say, and which comparisons follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from arena.records import CHOICES, Ballot, Battle, Form
from arena.refusals import Refused
from evalcore.records import Comparison, Winner

__all__ = ["check_ballot", "comparison_ids", "comparisons_of", "is_same"]


def check_ballot(ballot: Ballot, form: Form, *, n_answers: int) -> None:
    """Refuse a ballot that does not fit its battle's form.

    Raises
    ------
    Refused
        ``bad_request`` with what is permitted.
    """
    permitted = _permitted_choices(form)
    if ballot.choice not in permitted:
        said = ", ".join(str(choice) for choice in permitted)
        raise Refused("bad_request", f"choice must be one of {said}")
    ranked = form.kind == "ranking"
    if ranked != (ballot.ranking is not None):
        raise Refused("bad_request", f"ranking must be {'given' if ranked else 'left out'}")
    if ballot.ranking is not None and not _is_ranking(ballot.ranking, n_answers, form=form):
        raise Refused("bad_request", f"ranking must rank {n_answers} answers from 1")
    if set(ballot.ratings) != set(form.scales):
        said = ", ".join(sorted(form.scales)) or "none"
        raise Refused("bad_request", f"ratings must be given for exactly these scales: {said}")
    for scale, values in ballot.ratings.items():
        low, high = form.scales[scale]
        if len(values) != n_answers or not all(low <= value <= high for value in values):
            raise Refused("bad_request", f"{scale} needs {n_answers} values from {low} to {high}")
    if not set(ballot.reasons) <= set(form.reasons):
        said = ", ".join(form.reasons) or "none"
        raise Refused("bad_request", f"reasons must be among: {said}")


def is_same(new: Ballot, old: Ballot) -> bool:
    """Whether a ballot says nothing new; reasons and comment left out count as unchanged."""
    return (
        (new.choice, new.ranking, dict(new.ratings)) == (old.choice, old.ranking, dict(old.ratings))
        and new.reasons in ((), old.reasons)
        and new.comment in ("", old.comment)
    )


def comparisons_of(battle: Battle, ballot: Ballot, *, created_utc: str) -> Iterator[Comparison]:
    """Yield what a ballot says of each pair of models, in the source's order.

    A pairwise ballot makes one comparison with the battle's id; a ranking of n answers makes
    n(n-1)/2, which are not independent of each other: resample battles, not comparisons. Scales
    alone make none.
    """
    position_of = {place: position for position, place in enumerate(battle.sides)}
    for a, b in combinations(range(len(battle.models)), 2):
        winner = _winner(ballot, position_of[a], position_of[b])
        if winner is not None:
            yield Comparison(
                id=_comparison_id(battle, a, b),
                example_id=battle.example_id,
                model_a=battle.models[a],
                model_b=battle.models[b],
                winner=winner,
                rater=battle.rater,
                rater_kind="human",
                swapped=position_of[b] < position_of[a],
                created_utc=created_utc,
                explanation="; ".join(ballot.reasons),
            )


def comparison_ids(battle: Battle) -> list[str]:
    """Return the ids of all comparisons that a battle may have."""
    return [_comparison_id(battle, a, b) for a, b in combinations(range(len(battle.models)), 2)]


def _comparison_id(battle: Battle, a: int, b: int) -> str:
    return battle.id if len(battle.models) == 2 else f"{battle.id}.{a}.{b}"


def _permitted_choices(form: Form) -> tuple[str | None, ...]:
    if form.kind != "pairwise":
        return (None,)
    left_out = {"tie": not form.allows_tie, "both_bad": not form.allows_both_bad}
    return tuple(choice for choice in CHOICES if not left_out.get(choice, False))


def _is_ranking(ranks: tuple[int, ...], n_answers: int, *, form: Form) -> bool:
    distinct = len(set(ranks)) == len(ranks)
    in_range = len(ranks) == n_answers and all(1 <= rank <= n_answers for rank in ranks)
    return in_range and (distinct or form.allows_tie)


def _winner(ballot: Ballot, a: int, b: int) -> Winner | None:
    """Who wins of the answers at two positions; None if the ballot doesn't say."""
    if ballot.ranking is not None:
        difference = ballot.ranking[a] - ballot.ranking[b]
        return "tie" if difference == 0 else "model_a" if difference < 0 else "model_b"
    if ballot.choice is None or ballot.choice in ("tie", "both_bad"):
        return ballot.choice
    return "model_a" if (ballot.choice == "left") == (a < b) else "model_b"
