"""Finding tasks of lm-evaluation-harness, and letting it build their requests."""

from __future__ import annotations

import importlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evalcore.errors import TaskError
from evalcore.hashing import content_hash
from evalcore.records import Example, Message
from evalcore.tasks.harness import (
    FEWSHOT_SEED,
    KINDS,
    PREFIX,
    Document,
    HarnessTask,
    canonical,
)
from evalcore.tasks.harness_settings import HarnessSettings, prompt_of, split_settings, stand_in

__all__ = ["load_harness_tasks"]

_RANDOM_SEED, _NUMPY_SEED = 0, 1234


def load_harness_tasks(name_or_path: str, *, limit: int | None = None) -> list[HarnessTask]:
    """Load a task of the harness, or all tasks of a group or tag, and build their requests.

    Worked examples are drawn with the harness's default seed, which is part of the task's hash, as
    are the prompts themselves.

    Parameters
    ----------
    name_or_path
        A name that the harness knows, or the path of a YAML file in its format; in it, paths of
        data files are relative to the current folder. A group's file may name tasks that are
        defined in the same folder. Settings may follow, see
        :mod:`evalcore.tasks.harness_settings`.
    limit
        Keep only the first so many examples, of each task.

    Raises
    ------
    TaskError
        If the harness isn't installed, doesn't know the task or can't get its data; for images or
        sound, and for tasks that run what a model writes.
    """
    name_or_path, settings = split_settings(name_or_path)
    module = _imported("lm_eval.tasks")
    with _seeded():
        return [_built(task, limit, settings) for task in _load(module, name_or_path)]


def _built(task: Any, limit: int | None, settings: HarnessSettings) -> HarnessTask:
    _refuse_unknown(task)
    if task.get_config("num_fewshot") == 0:
        # As in the harness: such a definition means it.
        settings = replace(settings, num_fewshot=None)
    elif settings.num_fewshot is not None or task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=settings.num_fewshot or 0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    try:
        task.build_all_requests(
            limit=limit,
            system_instruction=settings.system_instruction,
            apply_chat_template=settings.apply_chat_template,
            fewshot_as_multiturn=settings.fewshot_as_multiturn,
            chat_template=stand_in if settings.apply_chat_template else None,
        )
        documents = _documents(task)
    except (ValueError, KeyError, TypeError, AttributeError, TaskError) as error:
        raise TaskError(f"{PREFIX}{task.task_name}: {_one_line(error)}") from error
    return HarnessTask(harness=task, documents=documents, asking=settings)


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "lm_eval":
            raise
        raise TaskError(
            "tasks of lm-evaluation-harness need it to be installed: "
            "pip install 'parity-eval[lm-eval]'"
        ) from None


def _load(module: Any, name_or_path: str) -> list[Any]:
    is_file = Path(name_or_path).suffix in (".yaml", ".yml")
    if is_file and not Path(name_or_path).is_file():
        raise TaskError(f"{name_or_path}: no such file")
    group = _group_in(Path(name_or_path)) if is_file else None
    manager = module.TaskManager(
        include_path=str(Path(name_or_path).parent) if group else None,
        include_defaults=not is_file,
    )
    if not is_file and name_or_path not in manager.all_tasks:
        raise TaskError(
            f"lm_eval: the harness has no task {name_or_path!r}; "
            f"{len(manager.all_subtasks)} names are listed by: lm_eval ls subtasks, groups by: "
            "lm_eval ls groups"
        )
    try:
        tasks = manager.load([group or name_or_path])["tasks"]
    except Exception as error:
        # Definitions run code of their own, and data come from anywhere.
        raise TaskError(f"{PREFIX}{name_or_path}: {_one_line(error)}") from error
    return list(tasks.values())


def _group_in(path: Path) -> str | None:
    """Return the name of the group that a file defines, or None; a task's may have tags of code."""
    text = path.read_text("utf-8")
    name = re.search(r"^group:[ \t]*(\S+)", text, re.MULTILINE)
    has_members = re.search(r"^task:[ \t]*(\[|#|$)", text, re.MULTILINE)
    return name[1] if name and has_members else None


def _refuse_unknown(task: Any) -> None:
    if getattr(task, "MULTIMODAL", False):
        raise TaskError(f"{PREFIX}{task.task_name} asks about images or sound, which is not done")
    if getattr(task, "UNSAFE_CODE", False):
        raise TaskError(
            f"{PREFIX}{task.task_name} runs code that a model writes, which is not done"
        )
    if task.OUTPUT_TYPE not in KINDS:
        raise TaskError(
            f"{PREFIX}{task.task_name}: output_type must be one of {', '.join(KINDS)}; got "
            f"{task.OUTPUT_TYPE!r}"
        )


@contextmanager
def _seeded() -> Iterator[None]:
    """Seed what definitions may draw from, as the harness does, and put it back."""
    before = random.getstate(), np.random.get_state()
    random.seed(_RANDOM_SEED)
    np.random.seed(_NUMPY_SEED)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def _documents(task: Any) -> dict[str, Document]:
    by_document: dict[int, list[Any]] = {}
    for instance in task.instances:
        by_document.setdefault(instance.doc_id, []).append(instance)
    seen: Counter[str] = Counter()
    documents: dict[str, Document] = {}
    for number, instances in by_document.items():
        instances.sort(key=lambda instance: instance.idx)
        content = [canonical(instances[0].doc), [canonical(i.args) for i in instances]]
        identity = content_hash(content)
        if seen[identity]:
            # The same document a second time counts a second time.
            content.append(str(seen[identity]))
        seen[identity] += 1
        example = _example(task, number, instances, content_hash(content))
        documents[example.id] = Document(example, instances)
    return documents


def _example(task: Any, number: int, instances: Sequence[Any], identity: str) -> Example:
    first = instances[0]
    is_choice = first.request_type == "loglikelihood"
    target = task.doc_to_target(first.doc)
    choices = tuple(instance.args[1] for instance in instances) if is_choice else ()
    prompt = prompt_of(str(first.args[0]))
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
        target = choices[target]
    return Example(
        id=identity,
        messages=(Message(role="user", content=prompt),) if isinstance(prompt, str) else prompt,
        references=tuple(str(t) for t in (target if isinstance(target, list) else [target])),
        choices=choices,
        metadata={"doc_id": number, "doc": json.loads(canonical(first.doc))},
    )


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
