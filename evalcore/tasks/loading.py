"""Finding a task by name or path, and checking that its examples fit its kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from evalcore.errors import TaskError
from evalcore.metrics import TextMetric, text_metric
from evalcore.records import Example
from evalcore.tasks.definition import TaskDefinition, read_definition
from evalcore.tasks.examples import LineTemplates, read_examples
from evalcore.tasks.harness import PREFIX, HarnessTask
from evalcore.tasks.harness_loading import load_harness_tasks
from evalcore.tasks.kinds import (
    CHOICE_METRICS,
    PERPLEXITY_METRICS,
    ChoiceTask,
    GenerationTask,
    PerplexityTask,
)
from evalcore.tasks.prompts import PromptBuilder

__all__ = ["bundled_tasks", "load_task", "load_tasks"]

AnyTask = ChoiceTask | GenerationTask | PerplexityTask | HarnessTask

_BUNDLED = Path(__file__).parent / "bundled"


def bundled_tasks() -> dict[str, Path]:
    """Return the YAML files that come with Parity, by task name."""
    return {path.stem: path for path in sorted(_BUNDLED.glob("*.yaml"))}


def load_tasks(names_or_paths: Iterable[str], *, limit: int | None = None) -> list[AnyTask]:
    """Load tasks; of a group of lm-evaluation-harness each of its tasks.

    Parameters
    ----------
    names_or_paths, limit
        As for :func:`load_task`.

    Raises
    ------
    TaskError
        For an unknown name and for every mistake in the files.
    """
    return [task for name in names_or_paths for task in _load_all(name, limit)]


def load_task(name_or_path: str, *, limit: int | None = None) -> AnyTask:
    """Load a task.

    Parameters
    ----------
    name_or_path
        Name of a bundled task, or path of a task's YAML file; behind ``lm_eval:`` the name or file
        of a task of lm-evaluation-harness.
    limit
        Keep only the first so many examples; it becomes part of the task's hash.

    Raises
    ------
    TaskError
        For an unknown name, for a group, and for every mistake in the files.
    """
    tasks = _load_all(name_or_path, limit)
    if len(tasks) != 1:
        names = ", ".join(task.name for task in tasks)
        raise TaskError(f"{name_or_path} is a group; name one of its tasks: {names}")
    return tasks[0]


def _load_all(name_or_path: str, limit: int | None) -> Sequence[AnyTask]:
    if name_or_path.startswith(PREFIX):
        return load_harness_tasks(name_or_path.removeprefix(PREFIX), limit=limit)
    return [_load_own(name_or_path, limit)]


def _load_own(name_or_path: str, limit: int | None) -> AnyTask:
    path = _find(name_or_path)
    definition = read_definition(path)
    templates = LineTemplates.compile(definition.template, definition.target, where=str(path))
    data = path.parent / definition.examples
    if not data.exists():
        raise TaskError(f"{path}: examples must be a file; got {str(data)!r}, which isn't there")
    examples = read_examples(data, templates, check=partial(_check_fits, definition))
    prompts = _prompts(path, definition, templates)
    return _build(path, definition, examples[:limit], prompts)


def _find(name_or_path: str) -> Path:
    bundled = bundled_tasks()
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    raise TaskError(
        f"task must be a YAML file, {PREFIX}NAME or one of {', '.join(bundled)}; "
        f"got {name_or_path!r}"
    )


def _build(
    path: Path, definition: TaskDefinition, examples: Sequence[Example], prompts: PromptBuilder
) -> ChoiceTask | GenerationTask | PerplexityTask:
    if definition.kind == "generate":
        metrics = _text_metrics(path, definition, examples)
        return GenerationTask(
            definition=definition,
            examples=examples,
            prompts=prompts,
            metric_names=tuple(metrics),
            metrics=metrics,
        )
    kind, known = (
        (ChoiceTask, CHOICE_METRICS)
        if definition.kind == "multiple_choice"
        else (PerplexityTask, PERPLEXITY_METRICS)
    )
    for entry in definition.metrics:
        if entry not in known:
            raise TaskError(f"{path}: metric must be one of {', '.join(known)}; got {entry!r}")
    names = tuple(str(entry) for entry in definition.metrics) or known
    return kind(definition=definition, examples=examples, prompts=prompts, metric_names=names)


def _text_metrics(
    path: Path, definition: TaskDefinition, examples: Sequence[Example]
) -> dict[str, TextMetric]:
    if not definition.metrics:
        raise TaskError(f"{path}: a generate task needs metrics, such as [exact_match]")
    metrics = {}
    for entry in definition.metrics:
        metric = text_metric(entry, where=str(path))
        if metric.definition.needs_references and not all(item.references for item in examples):
            missing = next(item for item in examples if not item.references)
            raise TaskError(
                f"{path}: metric {metric.name} needs a reference for every example; "
                f"example {_label(missing)} has none"
            )
        metrics[metric.name] = metric
    return metrics


def _prompts(path: Path, definition: TaskDefinition, templates: LineTemplates) -> PromptBuilder:
    fewshot = definition.fewshot
    pool: Sequence[Example] = ()
    if fewshot.examples is not None:
        source = path.parent / fewshot.examples
        pool = read_examples(source, templates, check=partial(_check_answered, definition))
        # One more than needed, since an example is never shown to itself.
        if len(pool) < fewshot.n + 1 and fewshot.n:
            raise TaskError(
                f"{source}: fewshot.n is {fewshot.n}, which needs {fewshot.n + 1} worked examples; "
                f"got {len(pool)}"
            )
    prefix = definition.answer_prefix
    return PromptBuilder(
        system=definition.system,
        chat=definition.chat,
        answer_prefix=("" if definition.chat else " ") if prefix is None else prefix,
        fewshot=fewshot,
        pool=pool,
    )


def _check_fits(definition: TaskDefinition, example: Example, where: str) -> None:
    if definition.kind == "multiple_choice":
        if len(example.choices) < 2 or not all(choice.strip() for choice in example.choices):
            raise TaskError(f"{where}: needs at least two choices, none of them empty")
        if not example.references or not set(example.references) <= set(example.choices):
            raise TaskError(f"{where}: needs an answer that is one of its choices")
    _check_images(definition, example, where)
    if len(example.messages) > 1 and not definition.chat:
        raise TaskError(f"{where}: has several messages, so the task needs chat: true")


def _check_answered(definition: TaskDefinition, shot: Example, where: str) -> None:
    if not shot.references:
        raise TaskError(f"{where}: a worked example needs a reference")
    _check_images(definition, shot, where)


def _check_images(definition: TaskDefinition, example: Example, where: str) -> None:
    if not example.images:
        return
    if definition.kind == "perplexity":
        raise TaskError(f"{where}: a perplexity task shows no images")
    if definition.fewshot.n and not definition.chat:
        raise TaskError(f"{where}: images with fewshot need chat: true, to stand in their turns")


def _label(example: Example) -> str:
    """Name an example as its file does: by its own id, or by the beginning of its prompt."""
    own_id = example.metadata.get("id")
    return repr(own_id if own_id is not None else example.messages[-1].content[:40])
