"""The stored answers that are to be judged, and the references they are judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalcore.errors import InputError
from evalcore.judges.records import Answer
from evalcore.records import Example, Generation, ModelSpec
from evalcore.store import Store
from evalcore.tasks.examples import read_jsonl

__all__ = ["Answers", "check_ids", "stored_answers", "with_references"]

Answers = Mapping[str, Mapping[str, tuple[Answer, ...]]]
"""By model's fingerprint and example: one answer for each turn, with those before it."""


def check_ids(examples: Sequence[Example], path: Path) -> None:
    """Refuse prompts without ids, by which verdicts, answers and references find each other.

    Raises
    ------
    InputError
        Naming the file and the prompt.
    """
    for number, example in enumerate(examples, 1):
        if example.metadata.get("id") is None:
            raise InputError(
                f"{path}: prompt {number} has no id; judging needs one for each "
                "(id, question_id or uid)"
            )


def stored_answers(
    store: Store, specs: Sequence[ModelSpec], examples: Sequence[Example]
) -> Answers:
    """Return each model's answers to each example, turn by turn.

    Raises
    ------
    InputError
        Naming the model, and how many answers it lacks.
    """
    ids = [example.id for example in examples]
    found = {spec.fingerprint: store.conversations(spec.fingerprint, ids) for spec in specs}
    for spec in specs:
        _check_complete(spec, found[spec.fingerprint], examples)
    return {
        fingerprint: {example_id: _turns(turns) for example_id, turns in conversations.items()}
        for fingerprint, conversations in found.items()
    }


def _check_complete(
    spec: ModelSpec, found: Mapping[str, Sequence[Generation]], examples: Sequence[Example]
) -> None:
    lacking = [
        example
        for example in examples
        if len(found.get(example.id, ())) < 1 + len(example.follow_ups)
    ]
    if lacking:
        first = lacking[0].metadata.get("id", lacking[0].id)
        raise InputError(
            f"model {spec.name!r} has no answer to {len(lacking)} of {len(examples)} prompts, such "
            f"as {first!r}; parity generate makes them"
        )


def _turns(generations: Sequence[Generation]) -> tuple[Answer, ...]:
    texts = tuple(generation.text for generation in generations)
    return tuple(
        Answer(
            fingerprint=generation.fingerprint,
            texts=texts[:turn],
            request_key=generation.request_key,
        )
        for turn, generation in enumerate(generations, 1)
    )


def with_references(examples: Sequence[Example], path: Path) -> list[Example]:
    """Give examples the reference answers of a file as FastChat's ``reference_answer/gpt-4.jsonl``.

    The examples keep their ids, under which their answers are stored.

    Raises
    ------
    InputError
        For a line without ``question_id`` and ``choices``, and where no line fits an example.
    """
    references = dict(_references(path))
    given = [
        replace(example, references=references[key]) if key in references else example
        for example, key in ((example, str(example.metadata.get("id"))) for example in examples)
    ]
    if not any(after is not before for after, before in zip(given, examples, strict=True)):
        raise InputError(f"{path}: holds no reference to any of the prompts")
    return given


def _references(path: Path) -> Iterable[tuple[str, tuple[str, ...]]]:
    for number, row in read_jsonl(path):
        turns = _reference_turns(row)
        if turns is None:
            raise InputError(
                f"{path}, line {number}: needs question_id and choices, a list whose first item "
                "has turns"
            )
        yield str(row["question_id"]), turns


def _reference_turns(row: Any) -> tuple[str, ...] | None:
    try:
        turns = row["choices"][0]["turns"] if "question_id" in row else None
    except (KeyError, IndexError, TypeError):
        return None
    if not isinstance(turns, list) or not all(isinstance(turn, str) for turn in turns):
        return None
    return tuple(turns)
