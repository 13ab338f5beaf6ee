"""Running a model's quantised forms against single precision, and summing up what they change."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast

from evalcore.energy import EnergyMeter
from evalcore.errors import InputError
from evalcore.evaluate import evaluate
from evalcore.executors import Executor, LocalExecutor
from evalcore.protocols import InspectableRunner, Runner, Task
from evalcore.quantlab.keeping import keep_report
from evalcore.quantlab.measuring import (
    DIVERGENCE_METRICS,
    SPEED_METRICS,
    MeasuredSet,
    Spool,
    divergence_set,
    measure_divergence,
    measure_round,
    speed_set,
)
from evalcore.quantlab.records import QuantCheck, QuantReport
from evalcore.quantlab.summing import sum_up
from evalcore.records import Example, ModelSpec, Score
from evalcore.stages import Begin
from evalcore.store import Store

__all__ = ["OpenTogether", "run_check"]


class OpenTogether(Protocol):
    """Opens models side by side."""

    def __call__(self, specs: Sequence[ModelSpec], /) -> AbstractContextManager[Sequence[Runner]]:
        """Run some specs at the same time, all in this thread, for as long as the context lasts."""


def run_check(
    check: QuantCheck,
    tasks: Sequence[Task],
    store: Store,
    *,
    groups: Sequence[Sequence[ModelSpec]],
    open_together: OpenTogether,
    energy: EnergyMeter,
    begin: Begin,
    executor: Executor | None = None,
) -> QuantReport:
    """Measure what is missing of a check, and sum everything up.

    Each form is loaded once, and only if something of it is missing. Its answers to the tasks, its
    divergence on each text and each round of speed are stored as they are made; the report is kept,
    too.

    Parameters
    ----------
    check
        The forms.
    tasks
        At least one.
    store, begin
        As for :func:`~evalcore.evaluate.evaluate`.
    groups
        The check's specs, in groups that are in memory together, the reference in the first. Rounds
        of speed take turns within a group.
    open_together
        Opens a group.
    energy
        What counts energy here.
    executor
        Answers the tasks first, wherever it does that; None for the forms that are opened here.
        Divergences, speed and memory are always measured here: they belong to one machine.

    Raises
    ------
    InputError
        Without tasks, texts or forms.
    """
    if not tasks or not check.texts or not check.forms:
        raise InputError("a check needs at least one form, one task and one text")
    if executor is not None:
        evaluate(check.specs, tasks, store, executor=executor, begin=begin)
    lab = _Lab(check, tasks, store, energy=energy, begin=begin)
    with TemporaryDirectory(prefix="parity-distributions-") as folder:
        spool = Spool(Path(folder))
        for group in groups:
            wanted = [spec for spec in group if lab.is_wanted(spec)]
            if not wanted:
                continue
            with open_together(wanted) as opened:
                lab.run([cast("InspectableRunner", runner) for runner in opened], spool)
    report = sum_up(
        check,
        tasks,
        store,
        sets=(lab.divergences, lab.speeds),
        energy=energy.source,
        is_interleaved=len(groups) == 1,
    )
    keep_report(store, report, check, tasks)
    return report


class _Lab:
    """A check in progress."""

    def __init__(
        self,
        check: QuantCheck,
        tasks: Sequence[Task],
        store: Store,
        *,
        energy: EnergyMeter,
        begin: Begin,
    ) -> None:
        self._check, self._tasks, self._store = check, tasks, store
        self._energy, self._begin = energy, begin
        self.divergences = divergence_set(check)
        self.speeds = speed_set(check, energy)
        for some in (self.divergences, self.speeds):
            store.add_task(some)
        # A reference whose distributions are gone from disk has to make them again for the others.
        missing = {
            example.id for spec in check.specs for example in self._missing(spec, self.divergences)
        }
        self._texts = [example for example in check.texts if example.id in missing]

    def is_wanted(self, spec: ModelSpec) -> bool:
        """Say whether something of a form is missing."""
        return bool(
            self._texts_of(spec)
            or self._missing(spec, self.speeds)
            or not {task.hash for task in self._tasks} <= self._done_tasks(spec)
        )

    def run(self, runners: Sequence[InspectableRunner], spool: Spool) -> None:
        """Measure what is missing of forms that are in memory together."""
        for runner in runners:
            self._store.add_model(runner.spec)
            self._evaluate(runner)
            self._diverge(runner, spool)
        for place, example in enumerate(self.speeds.examples):
            # Every second round in the other direction: no form is always the first.
            for runner in runners if place % 2 == 0 else runners[::-1]:
                if example in self._missing(runner.spec, self.speeds):
                    values = measure_round(runner, self._check, place, self._energy)
                    self._keep_round(runner.spec, example, values)

    def _evaluate(self, runner: InspectableRunner) -> None:
        def this_one(specs: Sequence[ModelSpec], /) -> Generator[Runner, None, None]:
            yield from [runner] * len(specs)  # none is asked for where all is answered

        executor = LocalExecutor(this_one)
        evaluate([runner.spec], self._tasks, self._store, executor=executor, begin=self._begin)

    def _diverge(self, runner: InspectableRunner, spool: Spool) -> None:
        todo = self._texts_of(runner.spec)
        advance = self._begin(f"{runner.spec.name} · divergence", len(todo))

        def keep(scores: Sequence[Score]) -> None:
            self._store.add_scores(scores)
            advance(1, 0.0)

        measure_divergence(runner, self._check, todo, spool=spool, keep=keep)

    def _texts_of(self, spec: ModelSpec) -> list[Example]:
        if spec.fingerprint == self._check.reference.fingerprint:
            return self._texts
        return self._missing(spec, self.divergences)

    def _keep_round(self, spec: ModelSpec, example: Example, values: dict[str, float]) -> None:
        self._store.add_scores(
            Score(
                example_id=example.id,
                fingerprint=spec.fingerprint,
                task_hash=self.speeds.hash,
                metric=metric,
                value=value,
            )
            for metric, value in values.items()
        )

    def _missing(self, spec: ModelSpec, some: MeasuredSet) -> list[Example]:
        metrics = DIVERGENCE_METRICS if some is self.divergences else SPEED_METRICS
        found = self._store.scores(spec.fingerprint, some.hash)
        there = {score.example_id for score in found if score.metric == metrics[-1]}
        return [example for example in some.examples if example.id not in there]

    def _done_tasks(self, spec: ModelSpec) -> set[str]:
        runs = self._store.runs()
        return {run.task_hash for run in runs if run.spec.fingerprint == spec.fingerprint}
