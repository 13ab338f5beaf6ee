"""What is rated in a study: examples with the answers that are shown together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from arena.studies.definition import StudyDefinition
from evalcore.codec import jsonable
from evalcore.errors import InputError, TaskError
from evalcore.hashing import content_hash
from evalcore.images import check_no_images
from evalcore.records import Example
from evalcore.store import Store
from evalcore.tasks.examples import LineTemplates, example_from_fields, read_jsonl, unique
from evalcore.tasks.prompt_sets import prompt_fields, read_prompts

__all__ = ["ItemKind", "StudyAnswer", "StudyItem", "load_items"]

ItemKind = Literal["main", "gold", "attention", "training"]

_NO_SIDE = ("tie", "both_bad")
_TEXT_FIELDS = ("text", "answer", "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyAnswer:
    """A model's answer."""

    model: str
    """Fingerprint of a variant in the workspace, or the name that the file gives."""
    name: str
    """What the study calls it."""
    turns: tuple[str, ...]
    """One text for each time the user speaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyItem:
    """Answers to one example that a rater sees together."""

    id: str
    """Content hash."""
    kind: ItemKind
    """Only ratings of kind ``main`` are the study's result."""
    example: Example
    answers: tuple[StudyAnswer, ...]
    """In the order of the study's models, whatever the order on the page."""
    expected: str = ""
    """Of a known item: the model that must be chosen (ranked first), ``tie`` or ``both_bad``."""
    expected_scales: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Of a known item on scales: least and greatest right value by scale."""
    why: str = ""
    """What a rater in training is told."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models, in the order of the answers."""
        return tuple(answer.model for answer in self.answers)

    def is_right(self, chosen: str, scales: Mapping[str, float]) -> bool:
        """Tell whether a rating of a known item is right.

        Parameters
        ----------
        chosen
            Model chosen or ranked first alone, ``tie`` or ``both_bad``; empty for scales.
        scales
            Value by scale.
        """
        if self.expected:
            return chosen == self.expected
        return all(
            low <= scales.get(name, math.nan) <= high
            for name, (low, high) in self.expected_scales.items()
        )


def load_items(study: StudyDefinition, folder: Path, store: Store) -> list[StudyItem]:
    """Load all items of a study: those to be rated, gold, attention checks and training.

    Parameters
    ----------
    study
        The study's file.
    folder
        What its paths are relative to.
    store
        Workspace that may hold the answers.

    Raises
    ------
    InputError
        Naming file and line, and which answer is missing.
    """
    items = [
        _item("main", example, [answers[place] for place in places])
        for example, answers in _answered(study, folder, store)
        for places in _shown_together(study)
    ]
    if study.gold is not None:
        items += _known_items(study, folder / study.gold.file, training=False)
    if study.training is not None:
        items += _known_items(study, folder / study.training, training=True)
    check_no_images((item.example for item in items), who="the arena")
    return items


def _shown_together(study: StudyDefinition) -> Iterable[tuple[int, ...]]:
    """Positions of the models whose answers make an item."""
    n_models = len(study.models)
    match study.kind:
        case "pairwise":
            return combinations(range(n_models), 2)
        case "ranking":
            return (tuple(range(n_models)),)
        case "rating":
            return ((place,) for place in range(n_models))


def _answered(
    study: StudyDefinition, folder: Path, store: Store
) -> Iterator[tuple[Example, list[StudyAnswer]]]:
    if isinstance(study.answers, str):
        path = folder / study.answers
        for where, example, fields in _lines(path):
            yield example, _given_answers(fields, example, study.models, where=where)
        return
    if study.prompts is None:
        raise InputError("a study without a file of answers needs prompts")
    examples = read_prompts(folder / study.prompts)
    if study.answers is None:
        yield from _stored(study.models, examples, store)
    else:
        files = {model: folder / file for model, file in study.answers.items()}
        yield from _from_files([files[model] for model in study.models], study.models, examples)


def _lines(path: Path) -> Iterator[tuple[str, Example, dict[str, Any]]]:
    """Yield each line's place, example and the fields that are no part of the example."""
    numbered, others, places = [], [], []
    for number, content in read_jsonl(path):
        where = f"{path}, line {number}"
        fields = dict(prompt_fields(content, where=where))
        rest = {key: fields.pop(key, None) for key in ("answers", "expected", "why", "attention")}
        numbered.append((number, example_from_fields(fields, LineTemplates(), where=where)))
        others.append(rest)
        places.append(where)
    yield from zip(places, unique(numbered, path), others, strict=True)


def _given_answers(
    fields: Mapping[str, Any], example: Example, models: Sequence[str], *, where: str
) -> list[StudyAnswer]:
    answers = fields["answers"]
    if not isinstance(answers, dict):
        raise TaskError(f"{where}: answers must map each model to its answer; got {answers!r}")
    missing = [model for model in models if model not in answers]
    if missing:
        raise TaskError(f"{where}: no answer of {', '.join(missing)}")
    return [_answer(model, answers[model], example, where=where) for model in models]


def _answer(model: str, given: Any, example: Example, *, where: str) -> StudyAnswer:
    turns = tuple(given) if isinstance(given, list) else (given,)
    n_turns = 1 + len(example.follow_ups)
    if len(turns) != n_turns or not all(isinstance(turn, str) for turn in turns):
        raise TaskError(
            f"{where}: the answer of {model} must be {n_turns} text{'s' * (n_turns > 1)}; "
            f"got {given!r}"
        )
    return StudyAnswer(model=model, name=model, turns=turns)


def _stored(
    models: Sequence[str], examples: Sequence[Example], store: Store
) -> Iterator[tuple[Example, list[StudyAnswer]]]:
    by_name = {name: _fingerprint(name, store) for name in models}
    ids = [example.id for example in examples]
    found = {name: store.conversations(key, ids) for name, key in by_name.items()}
    for example in examples:
        answers = []
        for name, key in by_name.items():
            chain = found[name].get(example.id, ())
            if len(chain) != 1 + len(example.follow_ups):
                raise InputError(
                    f"{name} has no stored answer to {example.messages[-1].content[:60]!r}; "
                    "parity generate makes it"
                )
            turns = tuple(generation.text for generation in chain)
            answers.append(StudyAnswer(model=key, name=name, turns=turns))
        yield example, answers


def _fingerprint(name: str, store: Store) -> str:
    known = store.models()
    found = [key for key, spec in known.items() if name in (spec.name, key)]
    if len(found) != 1:
        names = ", ".join(sorted({spec.name for spec in known.values()})) or "none"
        problem = "is the name of several variants" if found else "is not in the workspace"
        raise InputError(f"model {name!r} {problem}; its models are {names}")
    return found[0]


def _from_files(
    files: Sequence[Path], models: Sequence[str], examples: Sequence[Example]
) -> Iterator[tuple[Example, list[StudyAnswer]]]:
    by_model = [_answers_by_id(file) for file in files]
    for example in examples:
        own_id = str(example.metadata.get("id", ""))
        answers = []
        for model, file, texts in zip(models, files, by_model, strict=True):
            if own_id not in texts:
                raise TaskError(f"{file}: no answer to the prompt with the id {own_id!r}")
            where, given = texts[own_id]
            answers.append(_answer(model, given, example, where=where))
        yield example, answers


def _answers_by_id(path: Path) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}
    for number, fields in read_jsonl(path):
        where = f"{path}, line {number}"
        own_id = fields.get("id", fields.get("question_id")) if isinstance(fields, dict) else None
        text = next(
            (fields[key] for key in _TEXT_FIELDS if own_id is not None and key in fields), None
        )
        if text is None:
            raise TaskError(f"{where}: needs id and one of {', '.join(_TEXT_FIELDS)}")
        if found.setdefault(str(own_id), (where, text)) != (where, text):
            raise TaskError(f"{where}: duplicate id {own_id!r}, first in {found[str(own_id)][0]}")
    return found


def _known_items(study: StudyDefinition, path: Path, *, training: bool) -> Iterator[StudyItem]:
    for where, example, fields in _lines(path):
        if not isinstance(fields["answers"], dict) or not fields["answers"]:
            raise TaskError(
                f"{where}: answers must map names to answers; got {fields['answers']!r}"
            )
        answers = _given_answers(fields, example, list(fields["answers"]), where=where)
        _check_number(study, answers, where=where)
        kind: ItemKind = "attention" if fields["attention"] else "gold"
        scales = fields["expected"] if study.kind == "rating" else {}
        yield _item(
            "training" if training else kind,
            example,
            answers,
            expected="" if study.kind == "rating" else _side(study, fields, where=where),
            expected_scales=_scale_ranges(study, scales, where=where),
            why=str(fields["why"] or ""),
        )


def _check_number(study: StudyDefinition, answers: Sequence[StudyAnswer], *, where: str) -> None:
    wanted = {"pairwise": 2, "ranking": len(study.models), "rating": 1}[study.kind]
    if len(answers) != wanted:
        raise TaskError(f"{where}: answers must be {wanted}; got {len(answers)}")


def _side(study: StudyDefinition, fields: Mapping[str, Any], *, where: str) -> str:
    permitted = [*fields["answers"]]
    if study.kind == "pairwise":
        permitted += [name for name in _NO_SIDE if getattr(study.choices, name)]
    if fields["expected"] not in permitted:
        raise TaskError(
            f"{where}: expected must be one of {', '.join(permitted)}; got {fields['expected']!r}"
        )
    return str(fields["expected"])


def _scale_ranges(
    study: StudyDefinition, expected: Any, *, where: str
) -> dict[str, tuple[int, int]]:
    if study.kind != "rating":
        return {}
    known = {scale.name for scale in study.scales}
    if not isinstance(expected, dict) or not expected or not set(expected) <= known:
        raise TaskError(
            f"{where}: expected must map some of the scales {', '.join(sorted(known)) or 'none'} "
            f"to [least, greatest]; got {expected!r}"
        )
    ranges = {}
    for name, ends in expected.items():
        if not (isinstance(ends, list) and len(ends) == 2 and all(type(e) is int for e in ends)):
            raise TaskError(f"{where}: expected.{name} must be [least, greatest]; got {ends!r}")
        ranges[name] = (ends[0], ends[1])
    return ranges


def _item(
    kind: ItemKind,
    example: Example,
    answers: Sequence[StudyAnswer],
    *,
    expected: str = "",
    expected_scales: Mapping[str, tuple[int, int]] | None = None,
    why: str = "",
) -> StudyItem:
    content = [kind, example.id, jsonable(answers), expected, expected_scales or {}, why]
    return StudyItem(
        id=content_hash(content),
        kind=kind,
        example=example,
        answers=tuple(answers),
        expected=expected,
        expected_scales=expected_scales or {},
        why=why,
    )
