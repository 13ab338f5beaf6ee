"""A task's YAML file, validated."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalcore.errors import InputError, TaskError
from evalcore.records import SamplingParams

__all__ = [
    "Fewshot",
    "GenerationSettings",
    "StrictModel",
    "TaskDefinition",
    "TaskKind",
    "parse_yaml",
    "read_definition",
]

TaskKind = Literal["multiple_choice", "generate", "perplexity"]
ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """A file's content in which an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Fewshot(StrictModel):
    """Worked examples that stand before the question."""

    n: int = Field(default=0, ge=0)
    examples: str | None = None
    """JSONL file to take them from, relative to the task's file."""
    draw: Literal["fixed", "seeded"] = "fixed"
    """The first n for all, or n drawn for each example by the seed and the example's id."""
    seed: int = 0
    separator: str = "\n\n"
    """Between worked examples, where no chat template is used."""


class GenerationSettings(StrictModel):
    """How answers are decoded."""

    max_new_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    top_k: int = Field(default=0, ge=0)
    stop: list[str] = Field(default_factory=list)
    seed: int = 0

    def params(self) -> SamplingParams:
        """Return the same as a record."""
        return SamplingParams(**{**self.model_dump(), "stop": tuple(self.stop)})


class TaskDefinition(StrictModel):
    """What stands in a task's YAML file."""

    name: str = Field(min_length=1, pattern=r"^[\w.:-]+$")
    kind: TaskKind
    examples: str
    """JSONL file, relative to this one."""
    description: str = ""
    licence: str | None = None
    template: str | None = None
    """Jinja text over a line's fields that makes the prompt; without it, the field ``prompt``."""
    target: str | None = None
    """Jinja text that makes the reference; without it, the field ``reference``."""
    system: str | None = None
    """System prompt."""
    chat: bool = False
    """Through the model's chat template, or as plain text."""
    answer_prefix: str | None = None
    """Stands between prompt and answer; a space in plain text, nothing in a chat."""
    fewshot: Fewshot = Fewshot()
    generation: GenerationSettings = GenerationSettings()
    metrics: list[str | dict[str, dict[str, Any] | None]] = Field(default_factory=list)
    """The first one is the primary metric; without the key all that the kind has, if it has any."""


def read_definition(path: Path) -> TaskDefinition:
    """Read a task's YAML file.

    Raises
    ------
    TaskError
        Naming file, key, value and what is permitted.
    """
    definition = parse_yaml(path, TaskDefinition, error=TaskError)
    if definition.fewshot.n and definition.fewshot.examples is None:
        raise TaskError(
            f"{path}: fewshot.n is {definition.fewshot.n}, so fewshot.examples is needed"
        )
    if definition.kind == "perplexity" and (definition.chat or definition.fewshot.n):
        raise TaskError(f"{path}: a perplexity task takes neither chat nor fewshot")
    return definition


def parse_yaml(path: Path, model: type[ModelT], *, error: type[InputError]) -> ModelT:
    """Read a YAML file into a validated model, or raise one line that says what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"{path}: no such file") from cause
    except UnicodeDecodeError as cause:
        raise error(f"{path}: not UTF-8 text (byte {cause.start})") from cause
    except OSError as cause:
        raise error(f"{path}: can't be read: {cause.strerror}") from cause
    except yaml.YAMLError as cause:
        raise error(f"{path}: broken YAML: {' '.join(str(cause).split())}") from cause
    if not isinstance(content, dict):
        raise error(f"{path}: must be a mapping of keys to values")
    try:
        return model.model_validate(content)
    except ValidationError as cause:
        raise error(f"{path}: {_first_mistake(cause, model)}") from cause


def _first_mistake(cause: ValidationError, model: type[BaseModel]) -> str:
    mistake = cause.errors()[0]
    key = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        known = _keys_at(model, mistake["loc"][:-1])
        return f"unknown key {key!r}; permitted: {', '.join(known)}"
    if mistake["type"] == "missing":
        return f"key {key!r} is missing"
    return f"key {key!r}: {mistake['msg']}; got {mistake['input']!r}"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        annotation = (
            model.model_fields[str(part)].annotation if part in model.model_fields else None
        )
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
