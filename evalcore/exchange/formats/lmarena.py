"""LMArena's sets of battles, in all their shapes."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from evalcore.errors import VotesError
from evalcore.exchange.ahead import made_ahead
from evalcore.exchange.conversations import Conversation, prompt_example, split_conversation
from evalcore.exchange.identity import imported_answers
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_rows
from evalcore.exchange.vote_batches import column_names, read_vote_columns
from evalcore.exchange.vote_columns import VoteColumns
from evalcore.records import Example, Generation

__all__ = ["read_lmarena"]

_AT_ONCE = 2000
_ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
_KEPT = ("language", "is_code", "anony")
"""Facts of a battle that stay with its prompt."""


def read_lmarena(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read battles: ``.jsonl``, ``.json``, ``.parquet`` or ``.csv``.

    Parameters
    ----------
    paths
        Files with ``model_a``, ``model_b`` and ``winner``, or ``winner_model_a``,
        ``winner_model_b`` and ``winner_tie`` in its place. Conversations come as
        ``conversation_a`` and ``conversation_b``, or as ``prompt``, ``response_a`` and
        ``response_b``; without any a file is one of bare votes. ``question_id`` or ``id`` names
        the battle.
    context
        Time of the import.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    for path in paths:
        columns = set(column_names(path))
        if {"model_a", "model_b"} - columns or not ({"winner"} <= columns or _hot(columns)):
            raise VotesError(
                f"{path}: needs the columns model_a, model_b and winner (or {', '.join(_ONE_HOT)});"
                f" has {', '.join(sorted(columns))}"
            )
        if {"conversation_a", "response_a"} & columns or _hot(columns):
            yield from made_ahead(_battles(path, context, battle_ids="id" not in columns))
        else:
            yield from read_vote_columns(path, context, battle_ids="id" not in columns)


def _hot(columns: set[str]) -> bool:
    return set(_ONE_HOT) <= columns


@dataclass(frozen=True, slots=True)
class _Battle:
    row: Row
    winner: str
    example: Example | None
    """None where the file has no conversations."""
    said: tuple[tuple[str, ...], tuple[str, ...]]


def _battles(
    path: Path, context: ImportContext, *, battle_ids: bool
) -> Generator[Parcel, None, None]:
    unit = "row" if path.suffix.lower() in (".parquet", ".json") else "line"
    table = VoteColumns(path, context, unit=unit, battle_ids=True)
    rows = read_rows(path)
    while some := list(islice(rows, _AT_ONCE)):
        battles = [_battle(row) for row in some]
        columns = _columns(battles, "question_id" if battle_ids else "id")
        parcel = table.parcel(columns, [row.line for row in some], n_read=len(some))
        yield from _with_conversations(parcel, battles, context)


def _columns(battles: Sequence[_Battle], own_id: str) -> dict[str, Any]:
    """Return what :class:`VoteColumns` checks; the battle's own id goes where it looks for one."""
    names = {"id": own_id, "rater": "judge", "created_utc": "tstamp"}
    columns = {
        name: [_cell(battle.row.fields.get(names.get(name, name))) for battle in battles]
        for name in ("model_a", "model_b", "id", "rater", "created_utc")
    }
    if not any(columns["created_utc"]):
        columns["created_utc"] = [_cell(b.row.fields.get("timestamp")) for b in battles]
    if not any(columns["id"]):
        del columns["id"]
    if not any(columns["rater"]):
        columns["rater"] = [_cell(b.row.fields.get("evaluation_session_id")) for b in battles]
    columns["winner"] = [battle.winner for battle in battles]
    columns["rater_kind"] = [_cell(b.row.fields.get("rater_kind")) or "human" for b in battles]
    return {name: pa.array(values, pa.string()) for name, values in columns.items()}


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return value.isoformat() if isinstance(value, date) else json.dumps(value)


def _battle(row: Row) -> _Battle:
    row.needs("model_a", "model_b")
    fields = row.fields
    if "conversation_a" in fields:
        sides = [
            split_conversation(_listed(fields.get(name)), f"{row.where}: {name}")
            for name in ("conversation_a", "conversation_b")
        ]
    elif "response_a" in fields:
        sides = _responses(row)
    else:
        sides = []
    example = None
    if sides:
        if sides[0].asked != sides[1].asked:
            raise VotesError(f"{row.where}: the user must say the same in both conversations")
        example = prompt_example(
            sides[0].asked,
            system=sides[0].system,
            category=_category(fields),
            metadata={name: fields[name] for name in _KEPT if fields.get(name) is not None},
            where=row.where,
        )
    first, second = (side.said for side in sides) if sides else ((), ())
    return _Battle(row, _winner(row), example, (first, second))


def _winner(row: Row) -> str:
    """Return the label, or the name of the one column of three that has a one."""
    if "winner" in row.fields:
        return row.text("winner")
    marks = [str(row.fields.get(name)).strip().lower() in ("1", "1.0", "true") for name in _ONE_HOT]
    if sum(marks) != 1:
        raise VotesError(f"{row.where}: one of {', '.join(_ONE_HOT)} must be 1")
    return ("model_a", "model_b", "tie")[marks.index(True)]


def _responses(row: Row) -> list[Conversation]:
    """Read ``prompt``, ``response_a`` and ``response_b``: texts, or JSON lists of them by turn."""
    asked, *said = (_turns(row, name) for name in ("prompt", "response_a", "response_b"))
    for name, answers in zip(("response_a", "response_b"), said, strict=True):
        if len(answers) > len(asked):
            raise VotesError(
                f"{row.where}: {name} has {len(answers)} answers to {len(asked)} prompts"
            )
    return [Conversation(system="", asked=tuple(asked), said=tuple(some)) for some in said]


def _turns(row: Row, name: str) -> list[str]:
    value = _listed(row.fields.get(name))
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise VotesError(f"{row.where}: {name} must be a text or a list of them; got {value!r:.80}")
    return ["" if text is None else str(text) for text in value]


def _listed(value: Any) -> Any:
    """Return the list that a text holds, as CSV has no lists of its own."""
    if isinstance(value, str) and value.startswith("["):
        try:
            found = json.loads(value, strict=False)
            return _whole(found) if "\\ud" in value.lower() else found
        except (ValueError, RecursionError):
            return value
    return value


def _whole(listed: Any) -> Any:
    """Put U+FFFD in place of halves of characters: the published CSV cuts some emoji in two."""
    text = json.dumps(listed, ensure_ascii=False)
    return json.loads(text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _category(fields: Mapping[str, Any]) -> str | None:
    """Name the one category that a battle's tags give it."""
    for tags in (fields.get("occupational_tags"), fields.get("category_tag")):
        if isinstance(tags, Mapping):
            named = [name for name, tag in tags.items() if tag is True]
            if len(named) == 1:
                return str(named[0])
    return None


def _with_conversations(
    parcel: Parcel, battles: Sequence[_Battle], context: ImportContext
) -> Iterator[Parcel]:
    """Add prompts and answers, and let votes name the prompts."""
    examples: dict[str, Example] = {}
    answers: list[Generation] = []
    example_ids = parcel.votes["example_id"].to_pylist()
    given = parcel.votes["created_utc"]
    times = given.to_pylist() if isinstance(given, pa.Array) else [given] * len(battles)
    for place, battle in enumerate(battles):
        example = battle.example
        if example is None:
            continue
        examples[example.id] = example
        example_ids[place] = example.id
        for name, texts in zip(("model_a", "model_b"), battle.said, strict=True):
            model = battle.row.text(name)
            answers += imported_answers(example, model, texts, created_utc=times[place])
    yield Parcel(
        source=parcel.source,
        n_read=parcel.n_read,
        models=parcel.models,
        examples=list(examples.values()),
        answers=answers,
        votes={**parcel.votes, "example_id": pa.array(example_ids, pa.string())},
    )
