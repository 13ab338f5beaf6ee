"""Judge prompts in files: those that come with Parity, a user's YAML, FastChat's JSONL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from evalcore.errors import InputError
from evalcore.judges.records import (
    Criterion,
    JudgePrompt,
    PromptKind,
    Protocol,
    VerdictForm,
)
from evalcore.judges.rendering import check_slots, slots
from evalcore.records import SamplingParams
from evalcore.tasks.definition import GenerationSettings, StrictModel, parse_yaml
from evalcore.tasks.examples import read_jsonl

__all__ = ["bundled_protocols", "load_protocol"]

_BUNDLED = Path(__file__).parent / "bundled"
_N_LABELS: Final = {"label": (2, 3), "logprobs": (2,)}
_FORMS: Final[dict[PromptKind, tuple[VerdictForm, ...]]] = {
    "pairwise": ("label", "five_way", "scores", "logprobs"),
    "single": ("rating", "rubric"),
    "ranking": ("ranking",),
}
_FASTCHAT_FORMATS: Final[dict[str, tuple[VerdictForm, tuple[str, ...]]]] = {
    "[[A]]": ("label", ("A", "B", "C")),
    "[[rating]]": ("rating", ()),
}
_FASTCHAT_PARAMS: Final = SamplingParams(max_new_tokens=2048)
_FASTCHAT_REFERENCE_CATEGORIES = frozenset({"math", "reasoning", "coding"})


class CriterionEntry(StrictModel):
    """One line of a rubric."""

    name: str = Field(min_length=1)
    description: str = ""
    weight: float = Field(default=1.0, gt=0.0, strict=False)


class CaseEntry(StrictModel):
    """Texts for one case; a system message that is left out is that of the plain case."""

    template: str
    system: str | None = None


class PromptFile(StrictModel):
    """What stands in a judge prompt's YAML file."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    kind: PromptKind
    form: VerdictForm
    system: str = ""
    template: str
    labels: list[str] = Field(default_factory=list)
    scale: list[float] = Field(default=[1.0, 10.0], min_length=2, max_length=2)
    criteria: list[CriterionEntry] = Field(default_factory=list)
    json_output: bool = Field(default=False, alias="json")
    params: GenerationSettings = GenerationSettings(max_new_tokens=1024)
    reference: CaseEntry | None = None
    multi_turn: CaseEntry | None = None
    multi_turn_reference: CaseEntry | None = None
    reference_categories: list[str] | None = None
    categories: dict[str, CaseEntry] = Field(default_factory=dict)


def bundled_protocols() -> dict[str, Path]:
    """Return the YAML files that come with Parity, by name."""
    return {path.stem: path for path in sorted(_BUNDLED.glob("*.yaml"))}


def load_protocol(place: str) -> Protocol:
    """Load a judge prompt and what belongs to it.

    Parameters
    ----------
    place
        Name of a bundled one; path of a YAML file; or path of a JSONL file as FastChat's
        ``judge_prompts.jsonl``, with ``#NAME`` of the prompt for a first turn without reference.
        FastChat's others follow from it: the same type, with slots for a second turn or for a
        reference, the latter for its categories math, reasoning and coding.

    Raises
    ------
    InputError
        For an unknown name and every mistake in a file, such as a template without its slots.
    """
    bundled = bundled_protocols()
    if place in bundled:
        return _from_yaml(bundled[place])
    path, _, name = place.partition("#")
    if not Path(path).is_file():
        raise InputError(
            f"judge prompt must be one of {', '.join(bundled)} or a YAML or JSONL file; "
            f"got {place!r}"
        )
    if path.endswith(".jsonl"):
        return _from_jsonl(Path(path), name)
    return _from_yaml(Path(path))


def _from_yaml(path: Path) -> Protocol:
    entry = parse_yaml(path, PromptFile, error=InputError)
    _check_form(entry, where=str(path))
    plain = JudgePrompt(
        name=entry.name,
        kind=entry.kind,
        form=entry.form,
        system=entry.system,
        template=entry.template,
        labels=tuple(entry.labels),
        scale=(entry.scale[0], entry.scale[1]),
        criteria=tuple(Criterion(**item.model_dump()) for item in entry.criteria),
        json_output=entry.json_output,
        params=entry.params.params(),
    )
    cases = {
        case: _case(plain, found, suffix=case)
        for case in ("reference", "multi_turn", "multi_turn_reference")
        if (found := getattr(entry, case)) is not None
    }
    categories = entry.reference_categories
    protocol = Protocol(
        name=entry.name,
        plain=plain,
        reference_categories=None if categories is None else frozenset(categories),
        by_category={
            category: _case(plain, case, suffix=category)
            for category, case in entry.categories.items()
        },
        **cases,
    )
    return _checked(protocol, where=str(path))


def _case(plain: JudgePrompt, entry: CaseEntry, *, suffix: str) -> JudgePrompt:
    system = plain.system if entry.system is None else entry.system
    name = f"{plain.name}-{suffix.replace('_', '-')}"
    return replace(plain, name=name, system=system, template=entry.template)


def _check_form(entry: PromptFile, *, where: str) -> None:
    if entry.form not in _FORMS[entry.kind]:
        permitted = ", ".join(_FORMS[entry.kind])
        raise InputError(
            f"{where}: form of a {entry.kind} prompt must be one of {permitted}; got {entry.form!r}"
        )
    n_labels = _N_LABELS.get(entry.form, (0,))
    if len(entry.labels) not in n_labels or len(set(entry.labels)) < len(entry.labels):
        wanted = " or ".join(map(str, n_labels))
        raise InputError(
            f"{where}: form {entry.form} takes {wanted} different labels; got {entry.labels}"
        )
    if bool(entry.criteria) != (entry.form == "rubric"):
        raise InputError(f"{where}: criteria belong to the form rubric, which needs at least one")
    if not entry.scale[0] < entry.scale[1]:
        raise InputError(f"{where}: scale must be its low and its high end; got {entry.scale}")


def _checked(protocol: Protocol, *, where: str) -> Protocol:
    with_reference = (protocol.reference, protocol.multi_turn_reference)
    for prompt in protocol.prompts:
        check_slots(prompt, needs_reference=prompt in with_reference, where=where)
    return protocol


def _from_jsonl(path: Path, name: str) -> Protocol:
    prompts = list(_fastchat_prompts(path))
    wanted = name or next((item.name for item in prompts if _case_of(item) == (False, False)), "")
    plain = next((item for item in prompts if item.name == wanted), None)
    if plain is None:
        names = ", ".join(item.name for item in prompts) or "none"
        raise InputError(f"{path}: judge prompt must be one of {names}; got {name!r}")
    family = [item for item in prompts if item.form == plain.form and item.labels == plain.labels]
    protocol = Protocol(
        name=plain.name,
        plain=plain,
        reference=_the_one(family, (False, True), path),
        multi_turn=_the_one(family, (True, False), path),
        multi_turn_reference=_the_one(family, (True, True), path),
        reference_categories=_FASTCHAT_REFERENCE_CATEGORIES,
    )
    return _checked(protocol, where=str(path))


def _fastchat_prompts(path: Path) -> Iterator[JudgePrompt]:
    for number, row in read_jsonl(path):
        where = f"{path}, line {number}"
        texts = [_text(row, key, where) for key in ("name", "prompt_template", "output_format")]
        name, template, output_format = texts
        if output_format not in _FASTCHAT_FORMATS:
            permitted = ", ".join(_FASTCHAT_FORMATS)
            raise InputError(
                f"{where}: output_format must be one of {permitted}; got {output_format!r}"
            )
        form, labels = _FASTCHAT_FORMATS[output_format]
        yield JudgePrompt(
            name=name,
            kind="single" if form == "rating" else "pairwise",
            form=form,
            system=_text(row, "system_prompt", where),
            template=template,
            labels=labels,
            params=_FASTCHAT_PARAMS,
        )


def _text(row: Any, key: str, where: str) -> str:
    value = row.get(key) if isinstance(row, dict) else None
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} must be a text; got {value!r}")
    return value


def _case_of(prompt: JudgePrompt) -> tuple[bool, bool]:
    """Tell whether a prompt is for a second turn, and whether it has a reference."""
    found = slots(prompt)
    return "question_2" in found, any(slot.startswith("ref_answer_") for slot in found)


def _the_one(
    prompts: Sequence[JudgePrompt], case: tuple[bool, bool], path: Path
) -> JudgePrompt | None:
    fitting = [prompt for prompt in prompts if _case_of(prompt) == case]
    if len(fitting) > 1:
        names = ", ".join(prompt.name for prompt in fitting)
        raise InputError(f"{path}: several prompts for one case ({names}); leave one of them")
    return fitting[0] if fitting else None
