"""FastChat: questions, answers, judgements of MT-bench, and the arena's logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalcore.errors import VotesError
from evalcore.exchange.formats.fastchat_logs import LOG_FIELDS, read_vote_log
from evalcore.exchange.formats.fastchat_ratings import read_ratings
from evalcore.exchange.formats.questions import QuestionBook
from evalcore.exchange.identity import imported_answers, imported_model
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, first_line, read_rows
from evalcore.judges.foreign.fastchat import read_fastchat
from evalcore.judges.foreign.importing import verdict_parcel
from evalcore.judges.foreign.reading import foreign_file
from evalcore.records import Generation

__all__ = ["read_fastchat_files"]

_KINDS: Sequence[tuple[frozenset[str], str]] = (
    (LOG_FIELDS, "log"),
    (frozenset({"question_id", "choices"}), "answer"),
    (frozenset({"question_id", "answer_id", "model_id", "text"}), "answer"),
    (frozenset({"question_id", "model", "judge", "score"}), "rating"),
    (frozenset({"answer1_id", "answer2_id"}), "verdict"),
    (frozenset({"g1_winner", "g2_winner"}), "verdict"),
    (frozenset({"judge", "model_a", "model_b", "winner"}), "verdict"),
    (frozenset({"question_id", "turns"}), "question"),
    (frozenset({"question_id", "text"}), "question"),
)
_ORDER = ("question", "answer", "rating", "verdict", "log")


def read_fastchat_files(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read FastChat's files; what each one holds shows in its first line.

    Questions are read first, so that answers and judgements find them, whatever the order given.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    book = QuestionBook(context)
    kinds: dict[str, list[Path]] = {kind: [] for kind in _ORDER}
    for path in paths:
        kinds[_kind(path)].append(path)
    for path in kinds["question"]:
        yield book.read(path)
    for path in kinds["answer"]:
        yield _answers(path, book, context)
    if kinds["rating"]:
        yield from read_ratings(kinds["rating"], book, context)
    for path in kinds["verdict"]:
        verdicts = read_fastchat(path, book.examples)
        parcel = verdict_parcel(
            foreign_file("fastchat", path, verdicts), source=path, now=context.now
        )
        yield replace(parcel, n_read=max((verdict.line for verdict in verdicts), default=0))
    for path in kinds["log"]:
        yield from read_vote_log(path, context)


def _kind(path: Path) -> str:
    first = first_line(path)
    for fields, kind in _KINDS:
        if fields <= first.fields.keys():
            return kind
    forms = " or ".join(", ".join(sorted(fields)) for fields, _ in _KINDS[:7])
    raise VotesError(f"{first.where}: needs the fields {forms}; got {', '.join(first.fields)}")


def _answers(path: Path, book: QuestionBook, context: ImportContext) -> Parcel:
    answers: list[Generation] = []
    names: dict[str, None] = {}
    n_read = 0
    for row in read_rows(path):
        n_read += 1
        model = row.text("model_id")
        names[model] = None
        example = book.by_id(row.text("question_id"))
        for texts in _choices(row):
            answers += imported_answers(example, model, texts, created_utc=context.now)
    return Parcel(
        source=path,
        n_read=n_read,
        models=[imported_model(name) for name in names],
        answers=answers,
    )


def _choices(row: Row) -> list[list[str]]:
    """Return each choice's answers by turn; the Vicuna study has one text."""
    if "choices" not in row.fields:
        return [[row.optional_text("text") or ""]]
    choices = row.fields["choices"]
    if not isinstance(choices, list) or not choices:
        raise VotesError(
            f"{row.where}: choices must be a list of index and turns; got {choices!r:.80}"
        )
    found = []
    for choice in choices:
        turns = choice.get("turns") if isinstance(choice, Mapping) else None
        if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
            raise VotesError(f"{row.where}: turns must be a list of texts; got {turns!r:.80}")
        found.append(turns)
    return found
