"""Examples that one model won and lost against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalcore.records import Standing
from evalcore.store import Store
from leaderboards.records import Column, Leaderboard, Pair
from leaderboards.samples import Sample, load_samples, prompt_text
from reports.effects import reference_of

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
    shown: Shown


def contests(leaderboard: Leaderboard, store: Store) -> list[Contest]:
    """Show the leader against the runner-up, and the leading variants against their bases."""
    return [
        _contest(leaderboard, store, a, b, pair)
        for a, b in _chosen(leaderboard)
        if (pair := leaderboard.pair(a.model.fingerprint, b.model.fingerprint)) is not None
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
    leaderboard: Leaderboard, store: Store, model_a: Standing, model_b: Standing, pair: Pair
) -> Contest:
    differences: list[list[_Difference]] = [
        _differences(column, store, model_a.model.fingerprint, model_b.model.fingerprint)
        for column in leaderboard.columns
        if column.in_rating
    ]
    return Contest(
        model_a=model_a,
        model_b=model_b,
        pair=pair,
        wins=_greatest([[d for d in some if d.gain > 0] for some in differences]),
        losses=_greatest([[d for d in some if d.gain < 0] for some in differences]),
    )


def _differences(
    column: Column, store: Store, fingerprint_a: str, fingerprint_b: str
) -> list[_Difference]:
    samples_a, samples_b = (
        load_samples(store, column.runs[fingerprint])
        for fingerprint in (fingerprint_a, fingerprint_b)
    )
    sign = 1.0 if column.higher_is_better else -1.0
    found = []
    for place, (a, b) in enumerate(zip(samples_a, samples_b, strict=True)):
        value_a = a.values.get(column.metric, math.nan)
        value_b = b.values.get(column.metric, math.nan)
        gain = sign * (value_a - value_b)
        if gain > 0 or gain < 0:
            found.append(_Difference(gain=gain, place=place, shown=_shown(column, a, b)))
    return found


def _shown(column: Column, a: Sample, b: Sample) -> Shown:
    return Shown(
        task=column.task,
        metric=column.metric,
        prompt=_cut(prompt_text(a.example)),
        choices=tuple(_cut(choice) for choice in a.example.choices),
        references=tuple(_cut(reference) for reference in a.example.references[:3]),
        answer_a=None if a.answer is None else _cut(a.answer),
        answer_b=None if b.answer is None else _cut(b.answer),
        value_a=a.values[column.metric],
        value_b=b.values[column.metric],
    )


def _greatest(by_task: Sequence[Sequence[_Difference]]) -> tuple[Shown, ...]:
    """Take the greatest differences, one from each task in turn."""
    queues = [sorted(some, key=lambda item: (-abs(item.gain), item.place)) for some in by_task]
    turns = max((len(queue) for queue in queues), default=0)
    in_turn = [queue[turn] for turn in range(turns) for queue in queues if turn < len(queue)]
    return tuple(item.shown for item in in_turn[:_SHOWN_EACH])


def _cut(text: str) -> str:
    if len(text) <= _LONGEST_TEXT:
        return text
    return f"{text[:_LONGEST_TEXT]}… ({len(text) - _LONGEST_TEXT:,} more characters)"
