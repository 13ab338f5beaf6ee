"""FastChat's files: reviews of the Vicuna study, pair judgements, and labelled pairs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evalcore.errors import VotesError
from evalcore.exchange.prompts import Prompts
from evalcore.exchange.rows import Row, read_rows
from evalcore.judges.foreign.records import ForeignVerdict
from evalcore.judges.parsing import two_marks
from evalcore.records import Example, RaterKind

__all__ = ["read_fastchat"]

_HIGHEST_MARK = 10.0
_DEFAULT_REVIEWER = "gpt-4"
_REVIEWERS_PROMPT = re.compile(r"-(?:generic|default|general|coding|math)$")
"""What a reviewer's id says of the prompt; the judge is the same."""

_GAME_SCORES = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5, "error": math.nan}
_LABEL_SCORES = {
    "model_a": 1.0,
    "model_b": 0.0,
    "tie": 0.5,
    "tie (bothbad)": 0.5,
    "tie (inconsistent)": 0.5,
    "error": math.nan,
}
_PEOPLE = ("expert_", "author_", "arena_user_", "human")
"""How names of raters begin who are people."""

Reader = Callable[[Path, Sequence[Row], Prompts], list[ForeignVerdict]]


def read_fastchat(path: Path, prompts: Sequence[Example]) -> list[ForeignVerdict]:
    """Read verdicts that FastChat wrote; what the file holds shows in its first line.

    Parameters
    ----------
    path
        - reviews with ``answer1_id`` and ``answer2_id``: marks for both answers, of which the first
          was read first. The models are those of the answer files in the folder ``answer`` beside
          the reviews' folder, or those that the file's name ``review_X_Y.jsonl`` gives.
        - judgements with ``g1_winner`` and ``g2_winner``: two verdicts, with the answer of
          ``model_1`` first and with that of ``model_2`` first.
        - labels with ``judge``, ``model_a``, ``model_b`` and ``winner``, of people and of judges
          whose verdicts in both orders were merged.
    prompts
        Where the texts of the questions are found; without any, those in ``question.jsonl`` beside
        the file or one folder up.

    Raises
    ------
    InputError
        Naming the file, the line and what is permitted.
    """
    rows = list(read_rows(path))
    if not rows:
        raise VotesError(f"{path}: holds no verdicts")
    known = Prompts(prompts or _prompts_beside(path))
    for fields, reader in _READERS.items():
        if fields <= rows[0].fields.keys():
            return reader(path, rows, known)
    forms = " or ".join(", ".join(sorted(fields)) for fields in _READERS)
    has = ", ".join(rows[0].fields)
    raise VotesError(f"{rows[0].where}: needs the fields {forms}; got {has}")


def _written_marks(text: str) -> tuple[float, float] | None:
    """Find the marks in a review's text: from 0 to 10, though the prompt asks for 1 to 10."""
    marks = two_marks(text)
    return marks if marks and min(marks) >= 0.0 and max(marks) <= _HIGHEST_MARK else None


def _reviews(path: Path, rows: Sequence[Row], prompts: Prompts) -> list[ForeignVerdict]:
    answers = _answers_beside(path)
    named = re.fullmatch(r"review_(.+)_(.+)", path.stem)
    verdicts = []
    for row in rows:
        ids = row.text("answer1_id"), row.text("answer2_id")
        if all(answer_id in answers for answer_id in ids):
            (model_a, answer_a), (model_b, answer_b) = (answers[answer_id] for answer_id in ids)
        elif named:
            (model_a, model_b), answer_a, answer_b = named.groups(), None, None
        else:
            raise VotesError(
                f"{row.where}: models are not known: there is no answer {ids[0]} or {ids[1]} in "
                f"{path.parent.parent / 'answer'}, and the file is not named review_X_Y.jsonl"
            )
        text = row.optional_text("text") or ""
        written = _written_marks(text)
        marks = _stored_marks(row) or written
        reviewer = row.optional_text("reviewer_id") or _DEFAULT_REVIEWER
        verdicts.append(
            ForeignVerdict(
                line=row.line,
                example=prompts.by_id(row.text("question_id")),
                model_a=model_a,
                model_b=model_b,
                score_a=_preferred(marks),
                shown="a_first",
                form="scores",
                rater=_REVIEWERS_PROMPT.sub("", reviewer),
                prompt_version=reviewer,
                text=text,
                marks=marks,
                stored_differs=written is not None and written != marks,
                answer_a=answer_a,
                answer_b=answer_b,
            )
        )
    return verdicts


def _stored_marks(row: Row) -> tuple[float, float] | None:
    """Return the marks in the field ``score``; negative ones say that there are none."""
    marks = row.fields.get("score")
    if marks is None:
        return None
    if not isinstance(marks, list) or [type(m) in (int, float) for m in marks] != [True, True]:
        raise VotesError(f"{row.where}: score must be two numbers; got {marks!r:.80}")
    return (float(marks[0]), float(marks[1])) if min(marks) >= 0 else None


def _preferred(marks: tuple[float, float] | None) -> float:
    if marks is None:
        return math.nan
    return 0.5 if marks[0] == marks[1] else float(marks[0] > marks[1])


def _games(_path: Path, rows: Sequence[Row], prompts: Prompts) -> list[ForeignVerdict]:
    verdicts = []
    for row in rows:
        name, prompt = _judge(row)
        game = ForeignVerdict(
            line=row.line,
            example=prompts.by_id(_turn_id(row)),
            model_a=row.text("model_1"),
            model_b=row.text("model_2"),
            score_a=row.one_of("g1_winner", _GAME_SCORES),
            shown="a_first",
            form="label",
            rater=name,
            prompt_version=prompt,
            text=row.optional_text("g1_judgment") or "",
        )
        turned = replace(
            game,
            score_a=row.one_of("g2_winner", _GAME_SCORES),
            shown="b_first",
            text=row.optional_text("g2_judgment") or "",
        )
        verdicts += [game, turned]
    return verdicts


def _judge(row: Row) -> tuple[str, str]:
    """Return the judge's name and that of its prompt, which FastChat writes as a list."""
    judge = row.fields.get("judge")
    if isinstance(judge, list) and len(judge) == 2:
        return str(judge[0]), str(judge[1])
    return row.text("judge"), ""


def _labels(_path: Path, rows: Sequence[Row], prompts: Prompts) -> list[ForeignVerdict]:
    return [
        ForeignVerdict(
            line=row.line,
            example=prompts.by_id(_turn_id(row)),
            model_a=row.text("model_a"),
            model_b=row.text("model_b"),
            score_a=row.one_of("winner", _LABEL_SCORES),
            shown="unknown" if _kind(row.text("judge")) == "human" else "both_orders",
            form="label",
            rater=row.text("judge"),
            rater_kind=_kind(row.text("judge")),
            answer_a=_last_answer(row, "conversation_a"),
            answer_b=_last_answer(row, "conversation_b"),
            orders_disagree=row.fields["winner"] == "tie (inconsistent)",
        )
        for row in rows
    ]


def _kind(rater: str) -> RaterKind:
    return "human" if rater.startswith(_PEOPLE) else "judge"


def _last_answer(row: Row, name: str) -> str | None:
    """Return what the model said last, where the file has the conversation."""
    said = row.fields.get(name)
    last = said[-1] if isinstance(said, list) and said else None
    return str(last["content"]) if isinstance(last, Mapping) and "content" in last else None


def _turn_id(row: Row) -> str:
    """Name the question; a later turn of a conversation is another one."""
    question, turn = row.text("question_id"), row.fields.get("turn", 1)
    return question if turn in (1, None) else f"{question} turn {turn}"


def _prompts_beside(path: Path) -> list[Example]:
    from evalcore.tasks.prompt_sets import read_prompts

    for folder in (path.parent, path.parent.parent):
        if (folder / "question.jsonl").is_file():
            return read_prompts(folder / "question.jsonl")
    return []


def _answers_beside(path: Path) -> dict[str, tuple[str, str]]:
    """Read model and text of each answer by its id."""
    files = sorted((path.parent.parent / "answer").glob("*.jsonl"))
    return {
        row.text("answer_id"): (row.text("model_id"), row.optional_text("text") or "")
        for file in files
        for row in read_rows(file)
    }


_READERS: Mapping[frozenset[str], Reader] = {
    frozenset({"answer1_id", "answer2_id", "question_id"}): _reviews,
    frozenset({"g1_winner", "g2_winner", "model_1", "model_2"}): _games,
    frozenset({"judge", "model_a", "model_b", "winner"}): _labels,
}
