"""Examples with all models' answers side by side, what judges said of them and how people voted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Comparison, Example
from evalcore.store import Store
from evalcore.visible import cut
from leaderboards.comparing import TaskValues
from leaderboards.records import Column, Leaderboard
from leaderboards.samples import prompt_text, task_answers
from reports.evidence import Evidence
from reports.images import Picture, picture

__all__ = [
    "RULE",
    "Card",
    "Given",
    "Verdicts",
    "by_example",
    "most_disputed",
    "prompt_cards",
    "task_cards",
]

RULE = (
    "Of each task the examples whose scores differ most between models, and of the judged prompts "
    "those whose verdicts and votes are split most evenly; of equals the first."
)

_MOST_CARDS = 24
_LEAST_EACH, _MOST_EACH = 1, 6
_MOST_TEXT = 360_000
"""Letters of all answers on a page together."""
_SHORTEST, _LONGEST = 120, 1_200
_MOST_VERDICTS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An answer, and the models that gave exactly it with the same score."""

    models: tuple[str, ...]
    text: str | None
    """None where choices or texts were scored by log-likelihood, or no answer is stored."""
    value: float
    """By the task's metric; nan = could not be scored or has no score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """How a pair of answers was judged."""

    model_a: str
    model_b: str
    n_a: int
    n_b: int
    n_ties: int
    people: bool
    explanations: tuple[tuple[str, str, str], ...]
    """Judge, winner and reason; nobody's comment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An example and everything that is known of it."""

    anchor: str
    source: str
    """Task or prompt set."""
    metric: str
    """Empty for prompts without scores."""
    category: str
    prompt: str
    follow_ups: tuple[str, ...]
    pictures: tuple[Picture, ...]
    choices: tuple[str, ...]
    references: tuple[str, ...]
    answers: tuple[Given, ...]
    """Best first."""
    verdicts: tuple[Verdicts, ...]


def most_disputed(evidence: Evidence, store: Store) -> tuple[list[Card], tuple[str, ...]]:
    """Choose the examples of a report by :data:`RULE`; also tell what a reader has to know."""
    board = evidence.board
    judged = by_example(evidence.comparisons)
    n_sources = len(board.columns) + bool(judged)
    each = min(_MOST_EACH, max(_LEAST_EACH, _MOST_CARDS // max(1, n_sources)))
    longest = _MOST_TEXT // (each * n_sources * max(1, len(board.standings)))
    longest = min(_LONGEST, max(_SHORTEST, longest))
    cards: list[Card] = []
    notes: list[str] = []
    for column in board.columns[:_MOST_CARDS]:
        values = evidence.values[column.task]
        spread = _spread(values)
        order = [int(place) for place in np.argsort(-spread, kind="stable") if spread[place] > 0]
        examples = store.examples(column.task_hash)
        by_id = {example.id: example for example in examples}
        some = [by_id[values.table.example_ids[place]] for place in order[:each]]
        found, note = task_cards(
            board,
            column,
            store,
            some,
            values=values,
            judged=judged,
            longest=longest,
        )
        cards += found
        notes += [note] if note else []
    in_tasks = {card.anchor for card in cards}
    disputed = sorted(judged, key=lambda key: _dispute(judged[key]), reverse=True)
    rest = [key for key in disputed if _anchor(key) not in in_tasks]
    cards += prompt_cards(evidence, store, rest[:each], judged=judged, longest=longest)
    return cards, tuple(notes)


def task_cards(
    board: Leaderboard,
    column: Column,
    store: Store,
    examples: Sequence[Example],
    *,
    values: TaskValues,
    judged: Mapping[str, Sequence[Comparison]],
    longest: int,
) -> tuple[list[Card], str]:
    """Put all models' answers to some examples of a task together; also a note, if one is due."""
    if not examples:
        return [], ""
    runs = list(column.runs.values())
    answers = task_answers(store, runs, examples)
    place_of = {key: place for place, key in enumerate(values.table.example_ids)}
    names = {standing.model.fingerprint: standing.model.name for standing in board.standings}
    cards = []
    for example in examples:
        scored = [
            (
                names[fingerprint],
                answers.texts.get((fingerprint, example.id)),
                float(values.of(fingerprint)[place_of[example.id]]),
            )
            for fingerprint in names
            if fingerprint in column.runs
        ]
        given = _grouped(scored, higher_is_better=column.higher_is_better, longest=longest)
        cards.append(
            _card(
                example,
                source=column.task,
                metric=column.metric,
                answers=given,
                verdicts=judged.get(example.id, ()),
                longest=longest,
            )
        )
    note = (
        f"{column.task}: {answers.n_uncertain} answers may be those to another task with the same "
        "example, as this task's requests can't be made again from the workspace"
        if answers.n_uncertain
        else ""
    )
    return cards, note


def prompt_cards(
    evidence: Evidence,
    store: Store,
    example_ids: Sequence[str],
    *,
    judged: Mapping[str, Sequence[Comparison]],
    longest: int,
) -> list[Card]:
    """Put answers, verdicts and votes on judged prompts together.

    What a visitor of the arena typed is nobody else's business: such prompts are left out.
    """
    known = store.examples_by_id([key for key in example_ids if key not in store.typed_prompts()])
    names = {s.model.fingerprint: s.model.name for s in evidence.board.standings}
    cards = []
    for key, example in ((key, known[key]) for key in example_ids if key in known):
        asked = {name for item in judged[key] for name in (item.model_a, item.model_b)}
        by_model = _conversations(store, key, asked, names)
        given = _grouped(
            [(name, text, math.nan) for name, text in sorted(by_model.items())],
            higher_is_better=True,
            longest=longest,
        )
        cards.append(
            _card(
                example,
                source="judged prompts",
                metric="",
                answers=given,
                verdicts=judged[key],
                longest=longest,
            )
        )
    return cards


def _conversations(
    store: Store, example_id: str, asked: Iterable[str], names: Mapping[str, str]
) -> dict[str, str]:
    """Each model's newest answer, turn after turn."""
    models = {spec.name: key for key, spec in store.models().items()}
    models |= {name: key for key, name in names.items()}
    found = {}
    for name in asked:
        fingerprint = models.get(name, name)
        turns = store.conversations(fingerprint, [example_id]).get(example_id, ())
        if turns:
            found[name] = "\n\n".join(turn.text for turn in turns)
    return found


def _grouped(
    scored: Sequence[tuple[str, str | None, float]], *, higher_is_better: bool, longest: int
) -> tuple[Given, ...]:
    groups: dict[tuple[str | None, float | None], list[str]] = defaultdict(list)
    for name, text, value in scored:
        groups[text, None if math.isnan(value) else value].append(name)
    sign = -1.0 if higher_is_better else 1.0
    order = sorted(groups.items(), key=lambda item: _place(item[0][1], sign))
    return tuple(
        Given(
            models=tuple(models),
            text=None if text is None else cut(text, longest),
            value=math.nan if value is None else value,
        )
        for (text, value), models in order
    )


def _place(value: float | None, sign: float) -> float:
    return math.inf if value is None else sign * value


def _card(
    example: Example,
    *,
    source: str,
    metric: str,
    answers: tuple[Given, ...],
    verdicts: Sequence[Comparison],
    longest: int,
) -> Card:
    room = max(longest, _LONGEST)
    return Card(
        anchor=_anchor(example.id),
        source=source,
        metric=metric,
        category=example.category or "",
        prompt=cut(prompt_text(example), room),
        follow_ups=tuple(cut(text, room) for text in example.follow_ups),
        pictures=tuple(picture(image) for image in example.images),
        choices=tuple(cut(choice, room) for choice in example.choices),
        references=tuple(cut(reference, room) for reference in example.references[:3]),
        answers=answers,
        verdicts=_verdicts(verdicts, longest=room),
    )


def _verdicts(comparisons: Sequence[Comparison], *, longest: int) -> tuple[Verdicts, ...]:
    groups: dict[tuple[str, str, bool], list[Comparison]] = defaultdict(list)
    for item in comparisons:
        first, second = sorted((item.model_a, item.model_b))
        groups[first, second, item.rater_kind == "human"].append(item)
    found = []
    for (first, second, people), items in sorted(groups.items())[:_MOST_VERDICTS]:
        winners = [_winner(item) for item in items]
        found.append(
            Verdicts(
                model_a=first,
                model_b=second,
                n_a=winners.count(first),
                n_b=winners.count(second),
                n_ties=winners.count(""),
                people=people,
                explanations=()
                if people
                else tuple(
                    (item.rater, winner or "tie", cut(item.explanation, longest))
                    for item, winner in zip(items, winners, strict=True)
                ),
            )
        )
    return tuple(found)


def _winner(item: Comparison) -> str:
    return {"model_a": item.model_a, "model_b": item.model_b}.get(item.winner, "")


def _spread(values: TaskValues) -> NDArray[np.float64]:
    """How much models' scores of each example differ; 0 where fewer than two have one."""
    table = values.table.values
    n = np.sum(np.isfinite(table), axis=0)
    finite = np.where(np.isfinite(table), table, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = finite.sum(axis=0) / n
        spread = (finite**2).sum(axis=0) / n - mean**2
    return np.where(n >= 2, np.maximum(np.nan_to_num(spread), 0.0), 0.0)


def by_example(comparisons: Iterable[Comparison]) -> dict[str, list[Comparison]]:
    """Group comparisons by the example that they are on."""
    found: dict[str, list[Comparison]] = defaultdict(list)
    for item in comparisons:
        found[item.example_id].append(item)
    return found


def _dispute(items: Sequence[Comparison]) -> tuple[float, int]:
    """How evenly the best-split pair of answers is split, and how many comparisons there are."""
    by_pair: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for item in items:
        by_pair[tuple(sorted((item.model_a, item.model_b)))].append(_winner(item))
    split = 0.0
    for pair, winners in by_pair.items():
        first, second = winners.count(pair[0]), winners.count(pair[-1])
        split = max(split, min(first, second) / len(winners))
    return split, len(items)


def _anchor(example_id: str) -> str:
    return f"example-{example_id[:16]}"
