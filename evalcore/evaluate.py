"""Evaluating models on tasks: let them answer, score the answers, sum the scores up."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

from evalcore.answering import respond
from evalcore.environment import code_version, environment
from evalcore.executors import Executor
from evalcore.hashing import content_hash
from evalcore.protocols import Completion, Loglikelihood, ScoredExample, Task
from evalcore.records import EvalRun, ModelSpec, Score, utc_now
from evalcore.stages import Begin, ReadyJob, Work
from evalcore.store import Store
from evalcore.tasks.harness import HarnessTask

__all__ = ["evaluate", "summarise", "task_work"]


def task_work(task: Task) -> Work:
    """Return all requests of a task, in order."""
    jobs = [
        ReadyJob(example, request)
        for example in task.examples
        for request in task.requests(example)
    ]
    return Work(task.name, task.hash, jobs)


def evaluate(
    specs: Sequence[ModelSpec],
    tasks: Sequence[Task],
    store: Store,
    *,
    executor: Executor,
    begin: Begin,
) -> list[EvalRun]:
    """Run each model on each task and sum up, storing everything as it becomes ready.

    Parameters
    ----------
    specs, tasks
        Resolved variants, and tasks; duplicates are done once.
    store
        What is answered there already isn't asked again.
    executor
        Runs the variants that have something left to do.
    begin
        Reports progress.

    Returns
    -------
    list of EvalRun
        By model, then task, in the order given.
    """
    work = {some.key: some for some in map(task_work, tasks)}
    by_hash = {task.hash: task for task in tasks}
    runs = {}

    def sum_up(spec: ModelSpec, done: Work) -> None:
        runs[spec.fingerprint, done.key] = summarise(spec, by_hash[done.key], done, store)

    respond(specs, list(work.values()), store, executor=executor, begin=begin, done=sum_up)
    return [runs[spec.fingerprint, task_hash] for spec in specs for task_hash in work]


def summarise(spec: ModelSpec, task: Task, work: Work, store: Store) -> EvalRun:
    """Score a model's stored answers to a task, whose requests ``work`` has, and store the summary.

    The run's id depends on model and task alone, so that repeating it replaces it by its equal.

    Raises
    ------
    KeyError
        If an answer is missing.
    """
    store.add_task(task)
    items = _scored(spec, task, work, store)
    store.add_scores(
        Score(
            example_id=item.example.id,
            fingerprint=spec.fingerprint,
            task_hash=task.hash,
            metric=metric,
            value=measurement.value,
            weight=measurement.weight,
        )
        for item in items
        for metric, measurement in item.measurements.items()
    )
    run = EvalRun(
        run_id=content_hash([spec.fingerprint, task.hash]),
        spec=spec,
        task=task.name,
        task_hash=task.hash,
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        params=task.settings,
        estimates={
            key: task.estimate(metric, some)
            for metric in task.higher_is_better
            for key, some in _with_categories(metric, items)
        },
        efficiency=store.efficiency(spec.fingerprint, task.hash),
        n_examples=len(items),
        created_utc=utc_now(),
        code_version=code_version(),
        environment=environment(),
        warnings=(*_unused_template(spec, task), *_warnings(items)),
    )
    store.save_run(run)
    return run


def _scored(spec: ModelSpec, task: Task, work: Work, store: Store) -> list[ScoredExample]:
    keys: dict[str, list[str]] = {example.id: [] for example in task.examples}
    for job in work.jobs:
        keys[job.example.id].append(job.key)
    responses = store.responses(spec.fingerprint, [job.key for job in work.jobs])
    items = []
    for example in task.examples:
        own = [responses[key] for key in keys[example.id]]
        items.append(
            ScoredExample(example=example, responses=own, measurements=task.score(example, own))
        )
    return items


def _with_categories(
    metric: str, items: Sequence[ScoredExample]
) -> Iterator[tuple[str, Sequence[ScoredExample]]]:
    yield metric, items
    categories = {item.example.category for item in items} - {None}
    if len(categories) > 1:
        for category in sorted(cast("set[str]", categories)):
            yield f"{metric}/{category}", [i for i in items if i.example.category == category]


def _unused_template(spec: ModelSpec, task: Task) -> Iterator[str]:
    """Say that a template which was asked for had no turns to write."""
    if not isinstance(task, HarnessTask) or spec.chat_template is None:
        return
    if task.asking.apply_chat_template:
        return
    yield (
        f"prompts are plain text, without the chat template {spec.chat_template}; "
        f"with it: -t '{task.name}{'&' if task.asking.words else '?'}apply_chat_template'"
    )


def _warnings(items: Sequence[ScoredExample]) -> tuple[str, ...]:
    responses = [response for item in items for response in item.responses]
    answers = [answer for answer in responses if isinstance(answer, Completion)]
    scored = [found for found in responses if isinstance(found, Loglikelihood)]
    counts = {
        "answers were cut off at the most tokens permitted": sum(
            answer.finish_reason == "length" for answer in answers
        ),
        "answers failed": sum(answer.finish_reason == "error" for answer in answers),
        "contexts were cut at their beginning to fit the model's window": sum(
            found.n_truncated > 0 for found in scored
        ),
        "log-likelihoods are not a number": sum(math.isnan(found.logprob) for found in scored),
    }
    return tuple(f"{count} of {len(responses)} {what}" for what, count in counts.items() if count)
