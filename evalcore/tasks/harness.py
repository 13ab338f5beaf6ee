"""Tasks of EleutherAI's lm-evaluation-harness, by their own definitions and metrics.

The harness says what is asked, how answers are filtered and measured, and how measurements are put
together; models, storage, resuming and intervals are Parity's.
"""

from __future__ import annotations

import importlib
import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evalcore.errors import TaskError
from evalcore.hashing import content_hash
from evalcore.protocols import (
    Completion,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Measurement,
    Request,
    Response,
    RollingRequest,
    ScoredExample,
)
from evalcore.records import Estimate, Example, Message, SamplingParams
from evalcore.tasks.harness_metrics import Aggregation, aggregation

__all__ = ["PREFIX", "HarnessTask", "load_harness_tasks", "sampling_params"]

PREFIX = "lm_eval:"

FEWSHOT_SEED = 1234
"""What the harness seeds its drawing of worked examples with, unless told otherwise."""
_RANDOM_SEED, _NUMPY_SEED = 0, 1234
_LIMIT_NAMES = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_DEFAULT_LIMIT = 256
_NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "min_p": 0.0, "num_return_sequences": 1}
_KINDS = {
    "multiple_choice": "multiple_choice",
    "loglikelihood": "loglikelihood",
    "loglikelihood_rolling": "perplexity",
    "generate_until": "generate",
}


def load_harness_tasks(name_or_path: str, *, limit: int | None = None) -> list[HarnessTask]:
    """Load a task of the harness, or all tasks of a group or tag, and build their requests.

    Worked examples are drawn with the harness's default seed, which is part of the task's hash, as
    are the prompts themselves.

    Parameters
    ----------
    name_or_path
        A name that the harness knows, or the path of a YAML file in its format; in it, paths of
        data files are relative to the current folder. A group's file may name tasks that are
        defined in the same folder.
    limit
        Keep only the first so many examples, of each task.

    Raises
    ------
    TaskError
        If the harness isn't installed, doesn't know the task or can't get its data; for images or
        sound, and for tasks that run what a model writes.
    """
    module = _imported("lm_eval.tasks")
    with _seeded():
        return [_built(task, limit) for task in _load(module, name_or_path)]


def _built(task: Any, limit: int | None) -> HarnessTask:
    _refuse_unknown(task)
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    try:
        task.build_all_requests(limit=limit)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TaskError(f"{PREFIX}{task.task_name}: {_one_line(error)}") from error
    return HarnessTask(harness=task, documents=_documents(task))


def sampling_params(settings: Mapping[str, Any], *, seed: int = 0) -> SamplingParams:
    """Turn the harness's settings of a generation into ours.

    Parameters
    ----------
    settings
        ``until``, ``max_gen_toks`` or one of its other names (256 without any), ``do_sample``,
        ``temperature``, ``top_p`` and ``top_k``; without ``do_sample`` a temperature over 0 means
        sampling.
    seed
        Of the sampling.

    Raises
    ------
    TaskError
        For a setting that would change answers and is not among these.
    """
    left = dict(settings)
    until = left.pop("until", None) or []
    limits = [left.pop(name, None) for name in _LIMIT_NAMES]
    temperature = float(left.pop("temperature", None) or 0.0)
    do_sample = left.pop("do_sample", None)
    if do_sample and not temperature:
        # What the harness hands to transformers then is its default.
        temperature = 1.0
    params = SamplingParams(
        max_new_tokens=int(next((n for n in limits if n is not None), _DEFAULT_LIMIT)),
        temperature=0.0 if do_sample is False else temperature,
        top_p=float(left.pop("top_p", None) or 1.0),
        top_k=int(left.pop("top_k", None) or 0),
        stop=tuple(text for text in ([until] if isinstance(until, str) else until) if text),
        seed=seed,
    )
    for name, value in left.items():
        if value is not None and value != _NEUTRAL.get(name):
            raise TaskError(f"generation_kwargs: {name}={value!r} is not supported")
    return params


@dataclass(frozen=True, slots=True)
class Document:
    """An example with the harness's own view of it."""

    example: Example
    instances: Sequence[Any]
    """Its requests in the harness's form, in order."""


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task of the harness; see :class:`evalcore.protocols.Task`.

    Metrics have the harness's names; those of a filter other than the default are called
    ``metric,filter``. Where a metric's aggregation is not a mean, an example's score is what the
    aggregation gives for this example alone.
    """

    harness: Any
    """The harness's task object, with its requests built."""
    documents: Mapping[str, Document]
    """By example id, in order."""

    @property
    def name(self) -> str:
        """The harness's name for it behind ``lm_eval:``."""
        return f"{PREFIX}{self.harness.task_name}"

    @property
    def kind(self) -> str:
        """What is asked: multiple_choice, loglikelihood, perplexity or generate."""
        return _KINDS[self.harness.OUTPUT_TYPE]

    @property
    def description(self) -> str:
        """Where its data come from."""
        config = self.harness.config
        return " ".join(str(part) for part in (config.dataset_path, config.dataset_name) if part)

    @cached_property
    def hash(self) -> str:
        """Hash over definition, seeds, documents and the requests made of them."""
        requests = [
            request.key
            for document in self.documents.values()
            for request in self.requests(document.example)
        ]
        return content_hash([self.settings, list(self.documents), requests])

    @property
    def examples(self) -> Sequence[Example]:
        """The examples, in order."""
        return [document.example for document in self.documents.values()]

    @property
    def primary_metric(self) -> str:
        """The first metric of the first filter."""
        return next(iter(self.higher_is_better))

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The metrics of each filter, and for each whether more is better."""
        return {
            _full_name(metric, ensemble.name): bool(higher)
            for ensemble in self.harness._filters
            for metric, higher in self.harness.higher_is_better().items()
        }

    @cached_property
    def settings(self) -> Mapping[str, object]:
        """Version of the harness, the task's definition, and seeds."""
        return {
            "lm_eval": importlib.import_module("lm_eval").__version__,
            "definition": json.loads(_canonical(self.harness.dump_config())),
            "version": str(self.harness.VERSION),
            "fewshot_seed": FEWSHOT_SEED,
        }

    def requests(self, example: Example) -> Sequence[Request]:
        """Return an example's requests, repeated ones behind each other with seeds of their own."""
        return [
            _request(instance, repeat)
            for instance in self.documents[example.id].instances
            for repeat in range(instance.repeats)
        ]

    def score(self, example: Example, responses: Sequence[Response]) -> Mapping[str, Measurement]:
        """Measure an example's responses as the harness does; nan if one of them failed."""
        if any(_is_failed(response) for response in responses):
            return {name: Measurement(math.nan) for name in self.higher_is_better}
        measured = self._measured(example, responses)
        return {name: self._aggregation(name).measure(value) for name, value in measured.items()}

    def estimate(self, metric: str, items: Sequence[ScoredExample]) -> Estimate:
        """Sum up by the metric's own aggregation, over the examples that have it."""
        scored = [item for item in items if metric in item.measurements]
        found = self._aggregation(metric)
        measurements = [item.measurements[metric] for item in scored]
        if found.is_separable:
            return found.estimate(measurements)
        able = [item for item in scored if not any(map(_is_failed, item.responses))]
        values = [self._measured(item.example, item.responses)[metric] for item in able]
        return found.estimate_together(values, n_unscored=len(scored) - len(able))

    def _aggregation(self, name: str) -> Aggregation:
        return aggregation(self.harness.aggregation().get(name.partition(",")[0]))

    def _measured(self, example: Example, responses: Sequence[Response]) -> dict[str, Any]:
        """Return what the harness makes of responses, by full name of the metric."""
        left = iter(responses)
        is_rolling = self.kind == "perplexity"
        instances = [
            replace(
                instance,
                resps=[_plain(next(left), is_rolling=is_rolling) for _ in range(instance.repeats)],
                filtered_resps={},
            )
            for instance in self.documents[example.id].instances
        ]
        for ensemble in self.harness._filters:
            ensemble.apply(instances)
        measured: dict[str, Any] = {}
        for ensemble in self.harness._filters:
            filtered = [instance.filtered_resps[ensemble.name] for instance in instances]
            values = self.harness.process_results(instances[0].doc, filtered)
            measured |= {_full_name(metric, ensemble.name): v for metric, v in values.items()}
        return measured


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
    if task.OUTPUT_TYPE not in _KINDS:
        raise TaskError(
            f"{PREFIX}{task.task_name}: output_type must be one of {', '.join(_KINDS)}; got "
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
        content = [_canonical(instances[0].doc), [_canonical(i.args) for i in instances]]
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
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(choices):
        target = choices[target]
    return Example(
        id=identity,
        messages=(Message(role="user", content=str(first.args[0])),),
        references=tuple(str(t) for t in (target if isinstance(target, list) else [target])),
        choices=choices,
        metadata={"doc_id": number, "doc": json.loads(_canonical(first.doc))},
    )


def _request(instance: Any, repeat: int) -> Request:
    match instance.request_type:
        case "loglikelihood":
            context, continuation = instance.args
            return LoglikelihoodRequest(context=context, continuation=continuation)
        case "loglikelihood_rolling":
            return RollingRequest(text=instance.args[0], scores_marks=True)
        case _:
            prompt, settings = instance.args
            return GenerateRequest(prompt=prompt, params=sampling_params(settings, seed=repeat))


def _plain(response: Response, *, is_rolling: bool) -> Any:
    """Return a response in the harness's form."""
    if isinstance(response, Completion):
        return response.text
    return response.logprob if is_rolling else (response.logprob, response.is_greedy)


def _is_failed(response: Response) -> bool:
    if isinstance(response, Loglikelihood):
        return math.isnan(response.logprob)
    return response.finish_reason == "error"


def _full_name(metric: str, ensemble: str) -> str:
    return metric if ensemble == "none" else f"{metric},{ensemble}"


def _canonical(content: Any) -> str:
    """Return JSON; what has no form in it as text, without the place in memory."""

    def as_text(value: Any) -> str:
        return str(value).partition(" at 0x")[0]

    return json.dumps(content, default=as_text, sort_keys=True, ensure_ascii=False)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
