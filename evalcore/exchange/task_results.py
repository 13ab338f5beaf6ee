"""Another tool's results of one model on one task, as scores and a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scipy.special import ndtri

from evalcore.exchange.identity import imported_model
from evalcore.exchange.records import ImportedTask, Parcel
from evalcore.hashing import content_hash
from evalcore.records import (
    Efficiency,
    Estimate,
    EvalRun,
    Example,
    Generation,
    ModelSpec,
    Score,
)
from evalcore.stats.intervals import mean_estimate, proportion_estimate

__all__ = ["TaskResults", "published_estimate", "results_parcel", "utc_text"]

LONGEST_METRIC = 64
_SAME = 1e-6


@dataclass(kw_only=True)
class TaskResults:
    """What a tool's files say of one model on one task."""

    tool: str
    """Name and version, such as ``lm_eval 0.4.13``."""
    task: str
    model: str
    created_utc: str
    settings: Mapping[str, Any]
    """What shapes a score: with the examples it tells this task from others of its name."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the run."""
    higher_is_better: dict[str, bool] = field(default_factory=dict)
    """By metric, the primary one first."""
    published: dict[str, Estimate] = field(default_factory=dict)
    """By metric, as the tool says them."""
    examples: dict[str, Example] = field(default_factory=dict)
    """By id, in the tool's order."""
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By metric and example; several where an example was answered several times."""
    answers: list[Generation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_score(self, metric: str, example_id: str, value: float) -> None:
        """Note a score; nan = could not be scored."""
        self.higher_is_better.setdefault(metric[:LONGEST_METRIC], True)
        of_metric = self.scores.setdefault(metric[:LONGEST_METRIC], {})
        of_metric.setdefault(example_id, []).append(value)


def published_estimate(value: float, stderr: float | None, *, n: int, method: str) -> Estimate:
    """Make an estimate of a value and its standard error: value ± z · stderr, at 95 %.

    Without a standard error there is no interval, and the ends are nan.
    """
    has_error = stderr is not None and math.isfinite(stderr)
    half = float(ndtri(0.975)) * stderr if has_error and stderr is not None else math.nan
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        confidence_level=0.95,
        method=f"{method}: {'standard error, normal' if has_error else 'no standard error'}",
        n=n,
    )


def utc_text(when: Any, *, otherwise: str) -> str:
    """Return a time, in seconds since 1970 or in ISO 8601, as our records have it."""
    try:
        if isinstance(when, str):
            found = datetime.fromisoformat(when)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        elif isinstance(when, int | float) and not isinstance(when, bool):
            found = datetime.fromtimestamp(when, UTC)
        else:
            return otherwise
    except (ValueError, OverflowError, OSError):
        return otherwise
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def results_parcel(results: TaskResults, *, source: Path, n_read: int = 0) -> Parcel:
    """Make the records of one model on one task.

    An estimate is the tool's own where its value can't be had from the scores, as of a metric of
    the whole task; where it is their mean, the interval is ours.
    """
    spec = imported_model(results.model)
    examples = list(results.examples.values())
    task = _task(results, examples)
    means = {
        metric: {key: _mean(values) for key, values in by_example.items()}
        for metric, by_example in results.scores.items()
    }
    return Parcel(
        source=source,
        n_read=n_read,
        models=[spec],
        tasks=[task],
        answers=results.answers,
        scores=[
            Score(
                example_id=example_id,
                fingerprint=spec.fingerprint,
                task_hash=task.hash,
                metric=metric,
                value=value,
            )
            for metric, by_example in means.items()
            for example_id, value in by_example.items()
        ],
        runs=[_run(results, spec, task, means, source)],
        warnings=results.warnings,
    )


def _task(results: TaskResults, examples: Sequence[Example]) -> ImportedTask:
    tool = results.tool.partition(" ")[0]
    ids = [example.id for example in examples]
    return ImportedTask(
        name=results.task,
        hash=content_hash([tool, results.task, _plain(results.settings), ids]),
        examples=examples,
        settings={"tool": results.tool, **_plain(results.settings)},
    )


def _run(
    results: TaskResults,
    spec: ModelSpec,
    task: ImportedTask,
    means: Mapping[str, Mapping[str, float]],
    source: Path,
) -> EvalRun:
    estimates = {
        metric: _estimate(results.published.get(metric), list(means.get(metric, {}).values()))
        for metric in results.higher_is_better
    }
    primary = next(iter(results.higher_is_better))
    n_scored = len(results.examples) or estimates[primary].n
    return EvalRun(
        run_id=content_hash([spec.fingerprint, task.hash]),
        spec=spec,
        task=task.name,
        task_hash=task.hash,
        primary_metric=primary,
        higher_is_better=results.higher_is_better,
        params={**task.settings, **_plain(results.params)},
        estimates=estimates,
        efficiency=Efficiency(),
        n_examples=n_scored,
        created_utc=results.created_utc,
        code_version=results.tool,
        environment={"imported_from": source.name},
        warnings=tuple(results.warnings),
    )


def _estimate(published: Estimate | None, values: Sequence[float]) -> Estimate:
    scored = [value for value in values if not math.isnan(value)]
    if not scored:
        if published is not None:
            return published
        return mean_estimate(values)
    within = all(0.0 <= value <= 1.0 for value in scored)
    binary = all(value in (0.0, 1.0) for value in scored)
    own = (
        proportion_estimate(values)
        if binary
        else mean_estimate(values, bounds=(0.0, 1.0) if within else (-math.inf, math.inf))
    )
    if published is None or math.isnan(published.value):
        return own
    is_mean = abs(published.value - own.value) <= _SAME * max(1.0, abs(own.value))
    return own if is_mean else published


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what is text, number or nothing; the rest is no setting that a reader compares."""
    return {
        str(key): value
        for key, value in settings.items()
        if value is None
        or isinstance(value, str | bool | int)
        or (isinstance(value, float) and math.isfinite(value))
    }
