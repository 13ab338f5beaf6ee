"""Ratings of single answers as scores of a task, so that leaderboards show them as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from evalcore.environment import code_version, environment
from evalcore.hashing import content_hash
from evalcore.judges.planning import Plan
from evalcore.judges.records import Judge, Protocol
from evalcore.records import Efficiency, Estimate, EvalRun, Example, ModelSpec, Score, utc_now
from evalcore.stats.intervals import mean_estimate
from evalcore.store import Store

__all__ = ["RatedTurn", "settle_ratings"]

PRIMARY = "rating"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedTurn:
    """A judge's rating of one answer."""

    fingerprint: str
    """Of the model rated."""
    example_id: str
    turn: int
    value: float
    """nan = unscored."""
    parts: Mapping[str, float]
    """By criterion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _RatedSet:
    """A prompt set as a judge rates it: what the store knows a task by."""

    name: str
    hash: str
    examples: Sequence[Example]
    settings: Mapping[str, object]


def settle_ratings(
    judge: Judge, protocol: Protocol, plan: Plan, rated: Sequence[RatedTurn], store: Store
) -> list[EvalRun]:
    """Store a judge's ratings as scores, and for each model their summary.

    An example's ``rating`` is the mean over its turns, as in MT-bench [1]_, and nan unless all
    turns are rated. Prompts of several turns have ``rating_turn_1`` and so on as well; a rubric has
    a metric for each criterion.

    References
    ----------
    .. [1] Zheng et al. (2023), "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv
       2306.05685.
    """
    task = _task(judge, protocol, plan)
    store.add_task(task)
    runs = []
    for spec in plan.specs:
        own = [item for item in rated if item.fingerprint == spec.fingerprint]
        table = _table(protocol, plan, own)
        store.settle_scores(_scores(spec, task, table))
        run = _run(spec, task, table, plan, protocol)
        store.save_run(run)
        runs.append(run)
    return runs


def _task(judge: Judge, protocol: Protocol, plan: Plan) -> _RatedSet:
    prompts = [prompt.version for prompt in protocol.prompts]
    content = [judge.fingerprint, prompts, [example.id for example in plan.examples]]
    return _RatedSet(
        name=f"{plan.name}:{protocol.name}:{judge.name}",
        hash=content_hash(["rated", *content]),
        examples=plan.examples,
        settings={"judge": judge.name, "judge_fingerprint": judge.fingerprint, "prompts": prompts},
    )


def _table(protocol: Protocol, plan: Plan, rated: Sequence[RatedTurn]) -> dict[str, list[float]]:
    """Return values by metric, each in the order of the examples."""
    found = {(item.example_id, item.turn): item for item in rated}
    names = [item.name for item in protocol.plain.criteria]
    n_turns = max(1 + len(example.follow_ups) for example in plan.examples)
    turn_names = [f"{PRIMARY}_turn_{turn}" for turn in range(1, n_turns + 1)] if n_turns > 1 else []
    table: dict[str, list[float]] = {name: [] for name in (PRIMARY, *names, *turn_names)}
    for example in plan.examples:
        turns = [found.get((example.id, turn)) for turn in range(1, 2 + len(example.follow_ups))]
        values = [math.nan if item is None else item.value for item in turns]
        table[PRIMARY].append(fmean(values))
        for name in names:
            parts = [math.nan if t is None else t.parts.get(name, math.nan) for t in turns]
            table[name].append(fmean(parts))
        for at, name in enumerate(turn_names):
            table[name].append(values[at] if at < len(values) else math.nan)
    return table


def _scores(
    spec: ModelSpec, task: _RatedSet, table: Mapping[str, Sequence[float]]
) -> Iterator[Score]:
    for metric, values in table.items():
        for example, value in zip(task.examples, values, strict=True):
            yield Score(
                example_id=example.id,
                fingerprint=spec.fingerprint,
                task_hash=task.hash,
                metric=metric,
                value=value,
            )


def _run(
    spec: ModelSpec,
    task: _RatedSet,
    table: Mapping[str, Sequence[float]],
    plan: Plan,
    protocol: Protocol,
) -> EvalRun:
    estimates = {
        key: estimate
        for metric, values in table.items()
        for key, estimate in _estimates(metric, values, plan.examples, protocol.plain.scale)
    }
    n_unscored = estimates[PRIMARY].n_unscored
    return EvalRun(
        run_id=content_hash([spec.fingerprint, task.hash]),
        spec=spec,
        task=task.name,
        task_hash=task.hash,
        primary_metric=PRIMARY,
        higher_is_better=dict.fromkeys(table, True),
        params=task.settings,
        estimates=estimates,
        efficiency=Efficiency(),
        n_examples=len(plan.examples),
        created_utc=utc_now(),
        code_version=code_version(),
        environment=environment(),
        warnings=(
            (f"{n_unscored} of {len(plan.examples)} answers have no rating",) if n_unscored else ()
        ),
    )


def _estimates(
    metric: str,
    values: Sequence[float],
    examples: Sequence[Example],
    scale: tuple[float, float],
) -> Iterator[tuple[str, Estimate]]:
    categories = sorted({example.category for example in examples if example.category is not None})
    for category in (None, *(categories if len(categories) > 1 else ())):
        some = [
            (value, example.group or example.id)
            for value, example in zip(values, examples, strict=True)
            if category is None or example.category == category
        ]
        has_groups = any(example.group for example in examples)
        estimate = mean_estimate(
            [value for value, _ in some],
            groups=[group for _, group in some] if has_groups else None,
            bounds=scale,
        )
        yield metric if category is None else f"{metric}/{category}", estimate
