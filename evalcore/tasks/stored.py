"""Which request a task makes for an example, told from what the workspace holds of the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from evalcore.errors import TaskError
from evalcore.records import Example
from evalcore.tasks.definition import TaskDefinition
from evalcore.tasks.kinds import GenerationTask
from evalcore.tasks.loading import bundled_tasks, load_task
from evalcore.tasks.prompts import PromptBuilder

__all__ = ["answer_keys"]


def answer_keys(
    name: str,
    task_hash: str,
    settings: Mapping[str, Any],
    examples: Sequence[Example],
    *,
    n_examples: int,
) -> dict[str, str] | None:
    """Return the key of the request for some examples of a task whose answers are generated.

    A workspace keeps a task's settings and examples, of which the requests are made again; worked
    examples it keeps by hash alone, so that with some the task has to be a bundled one.

    Parameters
    ----------
    name, task_hash
        The task's.
    settings
        As the task's runs have them.
    examples
        Those of which keys are wanted.
    n_examples
        How many the task has.

    Returns
    -------
    dict or None
        By example id; None where the requests can't be made again here, such as those of another
        harness's tasks or with worked examples from a user's file.
    """
    task = _from_settings(name, settings) or _bundled(name, task_hash, n_examples)
    if task is None:
        return None
    made = {example.id: task.requests(example) for example in examples}
    return {key: request.key for key, (request,) in made.items()}


def _from_settings(name: str, settings: Mapping[str, Any]) -> GenerationTask | None:
    known = {key: settings[key] for key in TaskDefinition.model_fields if key in settings}
    try:
        definition = TaskDefinition.model_validate({**known, "name": name, "examples": ""})
    except ValidationError:
        return None
    if "kind" not in settings or definition.kind != "generate" or definition.fewshot.n:
        return None
    prefix = definition.answer_prefix
    prompts = PromptBuilder(
        system=definition.system,
        chat=definition.chat,
        answer_prefix=prefix if prefix is not None else ("" if definition.chat else " "),
        fewshot=definition.fewshot,
    )
    return GenerationTask(
        definition=definition, examples=(), prompts=prompts, metric_names=(), metrics={}
    )


def _bundled(name: str, task_hash: str, n_examples: int) -> GenerationTask | None:
    if name not in bundled_tasks():
        return None
    try:
        task = load_task(name, limit=n_examples)
    except TaskError:
        return None
    return task if isinstance(task, GenerationTask) and task.hash == task_hash else None
