"""From readings to verdicts, and from a pair's verdicts to one outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from evalcore.hashing import content_hash
from evalcore.judges.planning import Call, Unit
from evalcore.judges.records import Answer, Disagreement, Judge, Reading, Verdict
from evalcore.judges.rendering import LETTERS
from evalcore.records import Comparison, Winner, utc_now

__all__ = [
    "Outcome",
    "Status",
    "comparison_id",
    "comparison_of",
    "merge",
    "settled_outcome",
    "unscored_outcome",
    "verdicts_of",
    "winner_of",
]

Status = Literal["agreed", "disagreed", "unscored", "settled"]
"""Of a pair's verdicts: all name one winner, or not; one can't be read; the answers are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a judge says of two answers, all orders together."""

    example_id: str
    turn: int
    answer_a: Answer
    answer_b: Answer
    status: Status
    winner: Winner | None
    """None if unscored, or unresolved."""
    value: float
    """Mean preference for ``answer_a``; nan if unscored."""
    n_orders: int
    prompt_version: str
    cost_usd: float | None = None

    @property
    def score(self) -> float:
        """1 if A won, 0 if B, 0.5 if neither; nan without a winner."""
        return {"model_a": 1.0, "model_b": 0.0, None: math.nan}.get(self.winner, 0.5)


def winner_of(value: float) -> Winner | None:
    """Return who is preferred; None for nan."""
    if math.isnan(value):
        return None
    if value == 0.5:
        return "tie"
    return "model_a" if value > 0.5 else "model_b"


def verdicts_of(
    judge: Judge, unit: Unit, call: Call, reading: Reading, *, cost_usd: float | None
) -> list[Verdict]:
    """Turn what was read in a reply into verdicts: one, or of a ranking one for each pair."""
    if len(unit.answers) == 1:
        return [_verdict(judge, unit, call, unit.answers, reading, cost_usd)]
    pairs = list(combinations(range(len(unit.answers)), 2))
    share = None if cost_usd is None else cost_usd / len(pairs)
    return [_of_pair(judge, unit, call, _compared(call, reading, pair), share) for pair in pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """Two of the answers shown, and what the reading says of them."""

    pair: tuple[int, int]
    swapped: bool
    value: float
    label: str
    parts: Mapping[str, float]


def _compared(call: Call, reading: Reading, pair: tuple[int, int]) -> _Compared:
    at_a, at_b = (call.order.index(place) for place in pair)
    swapped = at_b < at_a
    value, parts = reading.value, {}
    if call.prompt.form == "ranking":
        if reading.parts:
            value = float(reading.parts[LETTERS[at_a]] < reading.parts[LETTERS[at_b]])
    else:
        value = 1.0 - value if swapped else value
        names = ("model_b", "model_a") if swapped else ("model_a", "model_b")
        parts = dict(zip(names, reading.parts.values(), strict=False))
    return _Compared(pair=pair, swapped=swapped, value=value, label=reading.label, parts=parts)


def _of_pair(
    judge: Judge, unit: Unit, call: Call, said: _Compared, cost_usd: float | None
) -> Verdict:
    a, b = (unit.answers[place] for place in said.pair)
    return replace(
        _verdict(judge, unit, call, (a, b), said, cost_usd),
        model_b=b.fingerprint,
        answer_b=b.request_key,
        swapped=said.swapped,
        winner=winner_of(said.value),
    )


def _verdict(
    judge: Judge,
    unit: Unit,
    call: Call,
    answers: Sequence[Answer],
    said: Reading | _Compared,
    cost_usd: float | None,
) -> Verdict:
    """Return what was said of some answers as a verdict on the first of them."""
    key = call.requests[0].key
    return Verdict(
        id=_verdict_id(judge, unit, key, answers),
        rater=judge.name,
        rater_kind=judge.kind,
        fingerprint=judge.fingerprint,
        request_key=key,
        form=call.prompt.form,
        prompt_version=call.prompt.version,
        example_id=unit.example.id,
        turn=unit.turn,
        model_a=answers[0].fingerprint,
        answer_a=answers[0].request_key,
        value=said.value,
        label=said.label,
        parts=said.parts,
        created_utc=utc_now(),
        cost_usd=cost_usd,
    )


def _verdict_id(judge: Judge, unit: Unit, request_key: str, answers: Sequence[Answer]) -> str:
    models = sorted(answer.fingerprint for answer in answers)
    return content_hash([judge.fingerprint, request_key, unit.example.id, unit.turn, models])


def merge(verdicts: Sequence[Verdict], unit: Unit, *, disagreement: Disagreement) -> list[Outcome]:
    """Merge a judge's verdicts on a unit's pairs over the orders they were shown in.

    A model wins only if it wins in every order; where one order has another winner than the other,
    a tie included, the orders disagree [1]_. One verdict that could not be read leaves the pair
    unscored.

    Parameters
    ----------
    verdicts
        On all pairs of the unit; for none, no pair has an outcome.
    unit
        The answers.
    disagreement
        Whether orders that disagree make a tie, or leave the pair without a winner.

    References
    ----------
    .. [1] Zheng et al. (2023), "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", section
       3.4, arXiv 2306.05685.
    """
    answers = {answer.fingerprint: answer for answer in unit.answers}
    by_pair: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        by_pair.setdefault((verdict.model_a, str(verdict.model_b)), []).append(verdict)
    return [
        _merged(unit, (answers[a], answers[b]), said, disagreement)
        for (a, b), said in by_pair.items()
    ]


def _merged(
    unit: Unit,
    pair: tuple[Answer, Answer],
    verdicts: Sequence[Verdict],
    disagreement: Disagreement,
) -> Outcome:
    winners = {verdict.winner for verdict in verdicts}
    status: Status = "agreed"
    winner = verdicts[0].winner
    if None in winners:
        status, winner = "unscored", None
    elif len(winners) > 1:
        status, winner = "disagreed", "tie" if disagreement == "tie" else None
    costs = [verdict.cost_usd for verdict in verdicts if verdict.cost_usd is not None]
    return Outcome(
        example_id=unit.example.id,
        turn=unit.turn,
        answer_a=pair[0],
        answer_b=pair[1],
        status=status,
        winner=winner,
        value=sum(verdict.value for verdict in verdicts) / len(verdicts),
        n_orders=len(verdicts),
        prompt_version=verdicts[0].prompt_version,
        cost_usd=sum(costs) if costs else None,
    )


def settled_outcome(unit: Unit, pair: tuple[Answer, Answer], *, prompt_version: str) -> Outcome:
    """Return the tie of two answers that are the same."""
    return Outcome(
        example_id=unit.example.id,
        turn=unit.turn,
        answer_a=pair[0],
        answer_b=pair[1],
        status="settled",
        winner="tie",
        value=0.5,
        n_orders=0,
        prompt_version=prompt_version,
    )


def unscored_outcome(unit: Unit, pair: tuple[Answer, Answer], *, prompt_version: str) -> Outcome:
    """Return what there is of a pair that lacks a reply."""
    settled = settled_outcome(unit, pair, prompt_version=prompt_version)
    return replace(settled, status="unscored", winner=None, value=math.nan)


def comparison_id(judge: Judge, outcome: Outcome) -> str:
    """Name a judge's comparison of two answers, whichever is called A, under one prompt."""
    answers = sorted(
        [item.fingerprint, item.request_key] for item in (outcome.answer_a, outcome.answer_b)
    )
    about = [outcome.example_id, outcome.turn, answers]
    return content_hash([judge.fingerprint, outcome.prompt_version, *about])


def comparison_of(judge: Judge, outcome: Outcome, *, explanation: str) -> Comparison | None:
    """Return an outcome as the record that ratings are made of; None without a winner."""
    if outcome.winner is None:
        return None
    return Comparison(
        id=comparison_id(judge, outcome),
        example_id=outcome.example_id,
        model_a=outcome.answer_a.fingerprint,
        model_b=outcome.answer_b.fingerprint,
        winner=outcome.winner,
        rater=judge.name,
        rater_kind=judge.kind,
        swapped=False,
        created_utc=utc_now(),
        explanation=explanation,
        judge_prompt_version=outcome.prompt_version,
        cost_usd=outcome.cost_usd,
    )
