"""How everything was produced."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from evalcore.codec import to_json
from evalcore.records import EvalRun, ModelSpec
from leaderboards.records import Leaderboard
from leaderboards.variants import public_place, public_string

__all__ = ["ModelSource", "TaskSource", "commands", "environments", "model_sources", "task_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where a variant came from."""

    spec: ModelSpec
    model_string: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSource:
    """What was asked of the models."""

    task: str
    metric: str
    n_examples: int
    task_hash: str
    settings: Mapping[str, str]
    """As JSON values."""
    first_utc: str
    last_utc: str


def model_sources(leaderboard: Leaderboard) -> list[ModelSource]:
    """List the models in the leaderboard's order."""
    return [
        ModelSource(
            spec=standing.model,
            model_string=public_string(standing.model),
            size_bytes=standing.efficiency.size_on_disk_bytes,
        )
        for standing in leaderboard.standings
    ]


def task_sources(leaderboard: Leaderboard) -> list[TaskSource]:
    """List the tasks in the leaderboard's order, with their settings and seeds."""
    return [
        TaskSource(
            task=column.task,
            metric=column.metric,
            n_examples=column.n_examples,
            task_hash=column.task_hash,
            settings={
                key: to_json(public_place(value) if isinstance(value, str) else value)
                for key, value in sorted(next(iter(column.runs.values())).params.items())
                if value not in (None, "", [], {})
            },
            first_utc=min(run.created_utc for run in column.runs.values()),
            last_utc=max(run.created_utc for run in column.runs.values()),
        )
        for column in leaderboard.columns
    ]


def environments(leaderboard: Leaderboard) -> list[tuple[dict[str, str], int]]:
    """List the distinct environments of the runs, each with the number of its runs."""
    counts: dict[tuple[tuple[str, str], ...], int] = {}
    for run in _runs(leaderboard):
        key = (
            ("parity-eval", run.code_version.removeprefix("parity-eval ")),
            *sorted(run.environment.items()),
        )
        counts[key] = counts.get(key, 0) + 1
    return [(dict(key), count) for key, count in counts.items()]


def commands(leaderboard: Leaderboard) -> tuple[str, str]:
    """Write the commands that evaluate the same models on the same tasks, and report on them."""
    models = [
        f"-m {shlex.quote(f'{source.spec.name}={source.model_string}')}"
        for source in model_sources(leaderboard)
    ]
    tasks = [f"-t {shlex.quote(column.task)}" for column in leaderboard.columns]
    joined = " \\\n    ".join([*models, " ".join(tasks)])
    return f"parity eval {joined}", "parity report -o report.html"


def _runs(leaderboard: Leaderboard) -> list[EvalRun]:
    return [run for column in leaderboard.columns for run in column.runs.values()]
