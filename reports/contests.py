"""Examples that one model won and lost against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evalcore.records import Standing
from evalcore.store import Store
from evalcore.visible import cut
from leaderboards.comparing import TaskValues
from leaderboards.records import Column, Leaderboard, Pair
from leaderboards.samples import prompt_text, task_answers
from reports.effects import reference_of
from reports.evidence import Evidence

__all__ = ["Contest", "Shown", "contests"]

_MOST_CONTESTS = 3
_SHOWN_EACH = 3
_LONGEST_TEXT = 1_200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An example with both answers, as text."""

    task: str
    metric: str
    prompt: str
    choices: tuple[str, ...]
    references: tuple[str, ...]
    answer_a: str | None
    answer_b: str | None
    value_a: float
    value_b: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Two models, and examples on which they differ."""

    model_a: Standing
    model_b: Standing
    pair: Pair
    wins: tuple[Shown, ...]
    """A few that model a got and model b didn't, one task after the other."""
    losses: tuple[Shown, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    gain: float
    """How much better model a did."""
    place: int
    column: Column
    example_id: str
    value_a: float
    value_b: float


def contests(evidence: Evidence, store: Store) -> list[Contest]:
    """Show the leader against the runner-up, and the leading variants against their bases."""
    board = evidence.board
    return [
        _contest(evidence, store, a, b, pair)
        for a, b in _chosen(board)
        if (pair := board.pair(a.model.fingerprint, b.model.fingerprint)) is not None
    ]


def _chosen(leaderboard: Leaderboard) -> list[tuple[Standing, Standing]]:
    ranked = leaderboard.ranked
    chosen = [(ranked[0], ranked[1])] if len(ranked) > 1 else []
    for variant in ranked:
        for kind in ("adapters", "precision"):
            base = reference_of(variant, ranked, kind=kind)
            if base is not None and {id(variant), id(base)} not in [
                {id(a), id(b)} for a, b in chosen
            ]:
                chosen.append((variant, base))
    return chosen[:_MOST_CONTESTS]


def _contest(
    evidence: Evidence, store: Store, model_a: Standing, model_b: Standing, pair: Pair
) -> Contest:
    keys = model_a.model.fingerprint, model_b.model.fingerprint
    differences = [
        _differences(column, evidence.values[column.task], *keys)
        for column in evidence.board.columns
        if column.in_rating
    ]
    wins = _greatest([[d for d in some if d.gain > 0] for some in differences])
    losses = _greatest([[d for d in some if d.gain < 0] for some in differences])
    return Contest(
        model_a=model_a,
        model_b=model_b,
        pair=pair,
        wins=tuple(_shown(store, difference, *keys) for difference in wins),
        losses=tuple(_shown(store, difference, *keys) for difference in losses),
    )


def _differences(
    column: Column, values: TaskValues, fingerprint_a: str, fingerprint_b: str
) -> list[_Difference]:
    first, second = values.of(fingerprint_a), values.of(fingerprint_b)
    gains = (first - second) * (1.0 if column.higher_is_better else -1.0)
    return [
        _Difference(
            gain=float(gains[place]),
            place=int(place),
            column=column,
            example_id=values.table.example_ids[place],
            value_a=float(first[place]),
            value_b=float(second[place]),
        )
        for place in np.flatnonzero((gains > 0) | (gains < 0))
    ]


def _shown(store: Store, found: _Difference, fingerprint_a: str, fingerprint_b: str) -> Shown:
    column = found.column
    example = store.examples_by_id([found.example_id])[found.example_id]
    runs = [column.runs[fingerprint_a], column.runs[fingerprint_b]]
    answers = task_answers(store, runs, [example]).texts
    first, second = (answers.get((key, example.id)) for key in (fingerprint_a, fingerprint_b))
    return Shown(
        task=column.task,
        metric=column.metric,
        prompt=cut(prompt_text(example), _LONGEST_TEXT),
        choices=tuple(cut(choice, _LONGEST_TEXT) for choice in example.choices),
        references=tuple(cut(reference, _LONGEST_TEXT) for reference in example.references[:3]),
        answer_a=None if first is None else cut(first, _LONGEST_TEXT),
        answer_b=None if second is None else cut(second, _LONGEST_TEXT),
        value_a=found.value_a,
        value_b=found.value_b,
    )


def _greatest(by_task: Sequence[Sequence[_Difference]]) -> list[_Difference]:
    """Take the greatest differences, one from each task in turn."""
    queues = [sorted(some, key=lambda item: (-abs(item.gain), item.place)) for some in by_task]
    turns = max((len(queue) for queue in queues), default=0)
    in_turn = [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)]
    return in_turn[:_SHOWN_EACH]
