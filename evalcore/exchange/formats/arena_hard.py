"""Arena-Hard: questions, answers, and games of a model against the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.formats.questions import QuestionBook
from evalcore.exchange.identity import imported_answers, imported_model
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_rows
from evalcore.judges.foreign.importing import verdict_parcel
from evalcore.judges.foreign.reading import foreign_file
from evalcore.judges.foreign.records import ForeignVerdict
from evalcore.records import Generation

__all__ = ["FIVE_WAY", "read_arena_hard"]

FIVE_WAY: Mapping[str, float] = {"A>>B": 1.0, "A>B": 0.75, "A=B": 0.5, "B>A": 0.25, "B>>A": 0.0}
"""How far the first answer is preferred."""


def read_arena_hard(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read questions, answers and judgements, in this order whatever the order of the files.

    Of a judgement's two games the first shows the baseline's answer first, the second the model's;
    together they make one comparison. A score that is none of the five is unscored.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    book = QuestionBook(context)
    kinds: dict[str, list[Path]] = {"question": [], "answer": [], "judgment": []}
    for path in paths:
        kinds[_kind(path)].append(path)
    for path in kinds["question"]:
        yield book.read(path)
    for path in kinds["answer"]:
        yield _answers(path, book, context)
    for path in kinds["judgment"]:
        rows = list(read_rows(path))
        if rows:
            verdicts = list(chain.from_iterable(_games(row, book) for row in rows))
            foreign = foreign_file("arena_hard", path, verdicts)
            yield replace(verdict_parcel(foreign, source=path, now=context.now), n_read=len(rows))


def _kind(path: Path) -> str:
    first = next(read_rows(path), None)
    if first is None:
        raise VotesError(f"{path}: holds no rows")
    if "games" in first.fields:
        return "judgment"
    if {"messages", "choices"} & first.fields.keys():
        return "answer"
    if {"prompt", "turns"} & first.fields.keys():
        return "question"
    has = ", ".join(first.fields)
    raise VotesError(
        f"{first.where}: needs one of prompt, turns, messages, choices, games; got {has}"
    )


def _own_id(row: Row) -> str:
    return row.text("uid" if "uid" in row.fields else "question_id")


def _answers(path: Path, book: QuestionBook, context: ImportContext) -> Parcel:
    answers: list[Generation] = []
    names: dict[str, None] = {}
    n_read = 0
    for row in read_rows(path):
        n_read += 1
        model = row.text("model" if "model" in row.fields else "model_id")
        names[model] = None
        example = book.by_id(_own_id(row))
        answers += imported_answers(example, model, _said(row), created_utc=context.now)
    return Parcel(
        source=path,
        n_read=n_read,
        models=[imported_model(name) for name in names],
        answers=answers,
    )


def _said(row: Row) -> list[str]:
    """Return a model's answers by turn, of ``messages`` or of version 0.1's ``choices``."""
    if "messages" in row.fields:
        turns = [
            turn for turn in _objects(row.fields["messages"]) if turn.get("role") == "assistant"
        ]
    else:
        choices = _objects(row.fields.get("choices"))
        turns = _objects(choices[0].get("turns")) if choices else []
    said = [turn.get("content") for turn in turns]
    texts = [text.get("answer") if isinstance(text, Mapping) else text for text in said]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise VotesError(f"{row.where}: holds no answer of the model")
    return [str(text) for text in texts]


def _objects(values: Any) -> list[Mapping[str, Any]]:
    found = values if isinstance(values, list) else []
    return [value for value in found if isinstance(value, Mapping)]


def _games(row: Row, book: QuestionBook) -> Iterator[ForeignVerdict]:
    games = row.fields.get("games")
    if not isinstance(games, list) or len(games) != 2:
        raise VotesError(f"{row.where}: games must be two; got {games!r:.80}")
    baseline, model = (
        row.text("baseline") if "baseline" in row.fields else "baseline",
        row.text("model"),
    )
    if baseline == model:
        raise VotesError(f"{row.where}: model and baseline must differ; got {model!r:.80}")
    example = book.by_id(_own_id(row))
    for game, shown in zip(games, ("a_first", "b_first"), strict=True):
        said = game if isinstance(game, Mapping) else {}
        first = FIVE_WAY.get(str(said.get("score")), float("nan"))
        yield ForeignVerdict(
            line=row.line,
            example=example,
            model_a=baseline,
            model_b=model,
            score_a=first if shown == "a_first" else 1.0 - first,
            shown="a_first" if shown == "a_first" else "b_first",
            form="five_way",
            rater=row.text("judge"),
            text=_judgment(said.get("judgment")),
        )


def _judgment(said: Any) -> str:
    if isinstance(said, Mapping):
        said = said.get("answer")
    return said if isinstance(said, str) else ""
