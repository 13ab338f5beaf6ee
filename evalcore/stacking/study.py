"""Evaluating the subsets of a stack on one resident base, and taking its score apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.evaluate import evaluate
from evalcore.executors import Executor
from evalcore.protocols import Task
from evalcore.records import Estimate, EvalRun, ModelSpec
from evalcore.stacking.records import (
    FullComparison,
    PairEffect,
    StackReport,
    StackStudy,
    TaskEffects,
    VariantScores,
    WeightEffect,
)
from evalcore.stages import Begin
from evalcore.stats.contributions import Worths, contrast, contributions
from evalcore.stats.equivalence import equivalence
from evalcore.stats.paired import holm
from evalcore.store import ScoreTable, Store

__all__ = ["run_study"]

_DIFFERENCE = np.array([1.0, -1.0])


def run_study(
    study: StackStudy,
    tasks: Sequence[Task],
    store: Store,
    *,
    executor: Executor,
    begin: Begin,
) -> StackReport:
    """Evaluate what a study needs and tell what each adapter contributes.

    All variants share a base, so that a runner that switches adapters in place loads it once.
    Everything is stored as by :func:`~evalcore.evaluate.evaluate`: what is there isn't asked again.

    Parameters
    ----------
    study
        The stack and its design.
    tasks
        At least one; a task that is there twice counts once.
    store, executor, begin
        As for :func:`~evalcore.evaluate.evaluate`.

    Raises
    ------
    InputError
        Without tasks, for two adapters of one name, or a full fine-tune that is a variant itself.
    """
    _check(study, tasks)
    variants = _Variants.of(study)
    wanted = [*variants.every, *([study.full] if study.full else [])]
    # A factor of 1 or 0 leads to a variant that is there already.
    specs = list({spec.fingerprint: spec for spec in wanted}.values())
    runs = evaluate(specs, tasks, store, executor=executor, begin=begin)
    by_task: dict[str, dict[str, EvalRun]] = {}
    for run in runs:
        by_task.setdefault(run.task_hash, {})[run.spec.fingerprint] = run
    tables = [_Table.load(store, found, study.stack.fingerprint) for found in by_task.values()]
    averaged = [
        table
        for table in tables
        if table.higher_is_better and table.of(variants.coalitions).is_share
    ]
    effects = [_effects(study, variants, [table]) for table in tables]
    average = _effects(study, variants, averaged) if len(averaged) > 1 else None
    adjusted = _adjusted([*effects, *([average] if average else [])])
    return StackReport(
        stack=study.name(study.stack.adapters),
        adapters=tuple(adapter.name for adapter in study.stack.adapters),
        tasks=tuple(adjusted[: len(effects)]),
        average=adjusted[-1] if average else None,
        variants=tuple(
            VariantScores(
                name=spec.name,
                fingerprint=spec.fingerprint,
                scores=tuple(table.score(spec) for table in tables),
            )
            for spec in specs
        ),
        n_orders=len(study.design.permutations),
        full=study.full.name if study.full else None,
        confidence_level=study.level,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variants:
    """The variants of a study."""

    coalitions: tuple[ModelSpec, ...]
    """In the design's order."""
    weighted: dict[tuple[int, float], ModelSpec]
    """By adapter's place and factor."""

    @property
    def every(self) -> tuple[ModelSpec, ...]:
        return (*self.coalitions, *self.weighted.values())

    @classmethod
    def of(cls, study: StackStudy) -> _Variants:
        adapters, design = study.stack.adapters, study.design
        members = [
            tuple(adapter for place, adapter in enumerate(adapters) if mask >> place & 1)
            for mask in design.coalitions
        ]
        coalitions = tuple(
            replace(study.stack.with_adapters(some), name=study.name(some)) for some in members
        )
        weighted = {}
        for place, adapter in enumerate(adapters):
            for factor in study.factors:
                if factor == 1.0:
                    spec = coalitions[design.coalitions.index(design.full)]
                elif factor == 0.0:
                    spec = coalitions[design.coalitions.index(design.full ^ 1 << place)]
                else:
                    changed = replace(adapter, weight=factor * adapter.weight)
                    some = (*adapters[:place], changed, *adapters[place + 1 :])
                    spec = replace(study.stack.with_adapters(some), name=study.name(some))
                weighted[place, factor] = spec
        return cls(coalitions=coalitions, weighted=weighted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """The variants' scores on one task."""

    run: EvalRun
    """Of the whole stack."""
    estimates: dict[str, Estimate]
    """By fingerprint."""
    scores: ScoreTable
    groups: NDArray[np.str_] | None
    """Labels of the clusters that examples come in; None if they don't."""

    @classmethod
    def load(cls, store: Store, runs: dict[str, EvalRun], stack: str) -> _Table:
        run = runs[stack]
        examples = store.examples(run.task_hash)
        clustered = any(example.group is not None for example in examples)
        # An example without a group depends on no other: its id is a group of its own.
        labels = [example.group or example.id for example in examples]
        return cls(
            run=run,
            estimates={key: one.estimates[run.primary_metric] for key, one in runs.items()},
            scores=store.score_table(run.task_hash, run.primary_metric, list(runs)),
            groups=np.array(labels) if clustered else None,
        )

    @property
    def higher_is_better(self) -> bool:
        return self.run.higher_is_better[self.run.primary_metric]

    def score(self, spec: ModelSpec) -> Estimate:
        return self.estimates[spec.fingerprint]

    def of(self, specs: Sequence[ModelSpec]) -> Worths:
        rows = [self.scores.fingerprints.index(spec.fingerprint) for spec in specs]
        # Variants that count tokens in their own ways differ in weights.
        weights = self.scores.weights[rows].mean(axis=0)
        return Worths(
            values=self.scores.values[rows],
            weights=None if len(np.unique(weights[weights > 0])) <= 1 else weights,
            groups=self.groups,
        )


def _check(study: StackStudy, tasks: Sequence[Task]) -> None:
    if not tasks:
        raise InputError("tasks must be at least one; got none")
    names = [adapter.name for adapter in study.stack.adapters]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two adapters are named {name!r}; name one with NAME=+lora:…")
    if study.full is None:
        return
    for spec in _Variants.of(study).every:
        if spec.fingerprint == study.full.fingerprint:
            raise InputError(f"the full fine-tune is a variant of the stack itself: {spec.name}")
        if spec.name == study.full.name:
            raise InputError(f"two models are named {spec.name!r}; name one with NAME=…")


def _effects(study: StackStudy, variants: _Variants, tables: Sequence[_Table]) -> TaskEffects:
    names = [adapter.name for adapter in study.stack.adapters]
    worths = [table.of(variants.coalitions) for table in tables]
    found = contributions(worths, study.design, level=study.level)
    first, several = tables[0], len(tables) > 1
    return TaskEffects(
        task=f"mean over {len(tables)} tasks" if several else first.run.task,
        metric="share" if several else first.run.primary_metric,
        is_share=all(worth.is_share for worth in worths),
        higher_is_better=first.higher_is_better,
        gain=found.gain,
        shapley=found.shapley,
        leave_one_out=found.leave_one_out,
        pairs=tuple(
            PairEffect(
                first=names[one],
                second=names[other],
                effect=effect,
                adjusted_p_value=effect.p_value,
            )
            for (one, other), effect in zip(study.design.pairs, found.interactions, strict=True)
        ),
        weights=tuple(
            WeightEffect(
                adapter=names[place],
                factor=factor,
                change=contrast(
                    [table.of([spec, study.stack]) for table in tables],
                    _DIFFERENCE,
                    level=study.level,
                ),
            )
            for (place, factor), spec in variants.weighted.items()
        ),
        full=None if several or study.full is None else _against_full(study, study.full, first),
    )


def _against_full(study: StackStudy, full: ModelSpec, table: _Table) -> FullComparison:
    worths = table.of([study.stack, full])
    found = equivalence(
        *worths.values,
        margin=study.margin,
        weights=worths.weights,
        groups=worths.groups,
        higher_is_better=table.higher_is_better,
        level=study.level,
    )
    return FullComparison(
        difference=found.difference,
        p_difference=found.paired.p_value,
        margin=study.margin,
        smallest_margin=found.smallest_margin,
        verdict=found.verdict,
    )


def _adjusted(effects: Sequence[TaskEffects]) -> list[TaskEffects]:
    """Adjust the pairs' p-values over all of them."""
    raw = [pair.effect.p_value for effect in effects for pair in effect.pairs]
    left = iter(holm(raw).tolist())
    return [
        replace(
            effect,
            pairs=tuple(replace(pair, adjusted_p_value=next(left)) for pair in effect.pairs),
        )
        for effect in effects
    ]
