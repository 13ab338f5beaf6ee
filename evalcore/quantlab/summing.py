"""A quantisation lab's stored measurements, summed up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evalcore.protocols import Completion, Task
from evalcore.quantlab.measuring import MeasuredSet
from evalcore.quantlab.records import FormReport, QuantCheck, QuantReport, Speed, TaskChange
from evalcore.records import Estimate, ModelSpec
from evalcore.stats.equivalence import equivalence
from evalcore.stats.intervals import mean_estimate
from evalcore.store import Store

__all__ = ["dominated", "sum_up"]

_Values = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Values and weights by example."""


def sum_up(
    check: QuantCheck,
    tasks: Sequence[Task],
    store: Store,
    *,
    sets: tuple[MeasuredSet, MeasuredSet],
    energy: str,
    is_interleaved: bool,
) -> QuantReport:
    """Sum up what is stored of a check, whose measurements are all there."""
    divergences, speeds = sets
    forms = [
        FormReport(
            label=label,
            name=spec.name,
            fingerprint=spec.fingerprint,
            disk_bytes=_newest(store, spec, speeds, "disk_bytes"),
            weights_bytes=_newest(store, spec, speeds, "weights_bytes"),
            kl=_mean_per_token(store, spec, divergences, "kl", level=check.level),
            same_top=_mean_per_token(store, spec, divergences, "same_top", level=check.level),
            speed=_speed(store, spec, speeds, level=check.level) if check.n_rounds else None,
            tasks=tuple(_change(check, spec, task, store) for task in tasks),
            is_dominated=False,
        )
        for label, spec in zip(("fp32", *check.labels), check.specs, strict=True)
    ]
    _, weights = _values(store, check.reference, divergences, "kl")
    beaten = dominated([form.weights_bytes for form in forms], [form.kl.value for form in forms])
    return QuantReport(
        reference=check.reference.name,
        forms=tuple(
            replace(form, is_dominated=is_beaten)
            for form, is_beaten in zip(forms, beaten, strict=True)
        ),
        n_tokens=int(weights.sum()),
        n_texts=len(check.texts),
        is_interleaved=is_interleaved,
        energy=energy,
        margin=check.margin,
        confidence_level=check.level,
    )


def dominated(sizes: Sequence[float], losses: Sequence[float]) -> list[bool]:
    """Say which points another one beats: no larger, no worse, and better in one of both (Pareto).

    Parameters
    ----------
    sizes, losses : (n,)
        Less is better; a point with nan neither beats nor is beaten.

    Examples
    --------
    >>> dominated([4.0, 2.0, 1.0, 3.0], [0.0, 0.1, 0.5, 0.2])
    [False, False, False, True]
    """
    points = list(zip(sizes, losses, strict=True))
    return [
        any(a <= size and b <= loss and (a < size or b < loss) for a, b in points)
        for size, loss in points
    ]


def _change(check: QuantCheck, spec: ModelSpec, task: Task, store: Store) -> TaskChange:
    metric = task.primary_metric
    pair = dict.fromkeys((spec.fingerprint, check.reference.fingerprint))
    table = store.score_table(task.hash, metric, list(pair))
    own, reference = table.values[0], table.values[-1]  # the reference is its own pair
    weights = table.weights.mean(axis=0)
    is_weighted = len(np.unique(weights[weights > 0])) > 1
    groups = [example.group for example in task.examples]
    higher = task.higher_is_better[metric]
    found = equivalence(
        own,
        reference,
        margin=check.margin,
        weights=weights if is_weighted else None,
        # An example without a group depends on no other: its id is a group of its own.
        groups=np.array([e.group or e.id for e in task.examples]) if any(groups) else None,
        higher_is_better=higher,
        level=check.level,
    )
    paired = found.paired
    run = next(
        run
        for run in store.runs()
        if (run.spec.fingerprint, run.task_hash) == (spec.fingerprint, task.hash)
    )
    return TaskChange(
        task=task.name,
        metric=metric,
        higher_is_better=higher,
        score=run.estimates[metric],
        difference=found.difference,
        p_value=paired.p_value,
        test=paired.test,
        n_worse=paired.losses if higher else paired.wins,
        n_better=paired.wins if higher else paired.losses,
        n_changed=_n_changed(check, spec, task, store),
        smallest_margin=found.smallest_margin,
        verdict=found.verdict,
    )


def _n_changed(check: QuantCheck, spec: ModelSpec, task: Task, store: Store) -> int | None:
    """Count answers that read differently; None where answers are no texts."""
    keys = [request.key for example in task.examples for request in task.requests(example)]
    own, reference = (
        store.responses(fingerprint, keys)
        for fingerprint in (spec.fingerprint, check.reference.fingerprint)
    )
    pairs = [(own[key], reference[key]) for key in keys if key in own and key in reference]
    texts = [
        (one.text, other.text)
        for one, other in pairs
        if isinstance(one, Completion) and isinstance(other, Completion)
    ]
    return sum(one != other for one, other in texts) if texts else None


def _mean_per_token(
    store: Store, spec: ModelSpec, some: MeasuredSet, metric: str, *, level: float
) -> Estimate:
    """Average over tokens; texts are what was drawn, so that the interval is over them."""
    values, weights = _values(store, spec, some, metric)
    if spec.fingerprint == some.settings["reference"]:
        value = 0.0 if metric == "kl" else 1.0
        return Estimate(
            value=value,
            low=value,
            high=value,
            confidence_level=level,
            method="by definition",
            n=len(values),
        )
    bounds = (0.0, 1.0) if metric == "same_top" else (0.0, math.inf)
    return mean_estimate(values, weights=weights, level=level, bounds=bounds)


def _speed(store: Store, spec: ModelSpec, some: MeasuredSet, *, level: float) -> Speed:
    def estimate(metric: str) -> Estimate:
        return mean_estimate(_values(store, spec, some, metric)[0], level=level)

    joules = estimate("joules_per_token")
    return Speed(
        prefill_tokens_per_s=estimate("prefill_tokens_per_s"),
        decode_tokens_per_s=estimate("decode_tokens_per_s"),
        joules_per_token=joules if joules.n else None,
    )


def _newest(store: Store, spec: ModelSpec, some: MeasuredSet, metric: str) -> float:
    values, _ = _values(store, spec, some, metric)
    return float(values[-1]) if len(values) else math.nan


def _values(store: Store, spec: ModelSpec, some: MeasuredSet, metric: str) -> _Values:
    table = store.score_table(some.hash, metric, [spec.fingerprint])
    return table.values[0], table.weights[0]
