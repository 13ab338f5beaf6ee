"""Where work is done: the seam, and the executor that does it in this process."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final, Protocol, cast, overload

from evalcore.energy import EnergyMeter, energy_meter
from evalcore.errors import InputError
from evalcore.protocols import (
    Finished,
    GenerateRequest,
    LoglikelihoodRequest,
    Request,
    Response,
    RollingRequest,
    Runner,
    SeeingRunner,
)
from evalcore.records import ModelSpec
from evalcore.stages import Advance, Batch, Begin, Job, Stage, Work, pending
from evalcore.store import Store

__all__ = [
    "PAID_BACKENDS",
    "Executor",
    "LocalExecutor",
    "OpenRunners",
    "Order",
    "Outcome",
    "run_requests",
]

PAID_BACKENDS: Final = frozenset({"openai"})
"""Models whose calls may cost money: no two processes make the same one."""

_POLL_S = 0.5


class OpenRunners(Protocol):
    """Opens models, one after the other."""

    def __call__(self, specs: Sequence[ModelSpec], /) -> Generator[Runner, None, None]:
        """Yield a running model for each spec, each in use until the next one is asked for."""


@dataclass(frozen=True, slots=True)
class Order:
    """A work that a variant has to do."""

    spec: ModelSpec
    work: Work


@dataclass(frozen=True, slots=True)
class Outcome:
    """An order that was carried out as far as could be."""

    order: Order
    failures: Sequence[str]
    """Why answers could not be had, one reason for each; none if all is answered and stored."""


class Executor(Protocol):
    """Carries out orders: here, or on other machines."""

    def carry_out(
        self, orders: Sequence[Order], store: Store, *, begin: Begin
    ) -> Generator[Outcome, None, None]:
        """Answer what is left of each order, and yield it when its last answer is stored.

        A stage with failures ends its order: what would follow from it can't be known. Closing the
        generator leaves the rest undone.
        """


class LocalExecutor:
    """Does all work in this process, one variant after the other.

    Parameters
    ----------
    open_runners
        Called with the variants that have something to do.
    energy
        What counts energy; found on this machine unless it is given.
    """

    def __init__(self, open_runners: OpenRunners, *, energy: EnergyMeter | None = None) -> None:
        self._open_runners = open_runners
        self._energy = energy

    def carry_out(
        self, orders: Sequence[Order], store: Store, *, begin: Begin
    ) -> Generator[Outcome, None, None]:
        """Answer what is left of each order; see :class:`Executor`."""
        by_variant: dict[str, list[Order]] = {}
        for order in orders:
            by_variant.setdefault(order.spec.fingerprint, []).append(order)
        specs = [some[0].spec for some in by_variant.values()]
        energy = self._energy or energy_meter()
        with closing(self._open_runners(specs)) as runners:
            for runner in runners:
                for order in by_variant[runner.spec.fingerprint]:
                    failures = _answer_stages(runner, order, store, begin=begin, energy=energy)
                    yield Outcome(order, failures)


def run_requests(runner: Runner, requests: Sequence[Request]) -> Iterator[Finished[Response]]:
    """Let a runner answer requests, all of one kind; none are no call at all.

    Raises
    ------
    InputError
        If pictures are asked about and the model reads text alone.
    """
    if not requests:
        return iter(())
    sees = isinstance(runner, SeeingRunner) and runner.reads_images
    if not sees and any(map(_has_images, requests)):
        raise InputError(f"model {runner.spec.name!r} reads text alone; it can't be shown images")
    if isinstance(requests[0], GenerateRequest):
        return runner.generate(cast("Sequence[GenerateRequest]", requests))
    if isinstance(requests[0], LoglikelihoodRequest):
        return runner.loglikelihood(cast("Sequence[LoglikelihoodRequest]", requests))
    return runner.loglikelihood_rolling(cast("Sequence[RollingRequest]", requests))


def _has_images(request: Request) -> bool:
    return not isinstance(request, RollingRequest) and bool(request.images)


def _answer_stages(
    runner: Runner, order: Order, store: Store, *, begin: Begin, energy: EnergyMeter
) -> list[str]:
    """Answer a work and all that follows from it; stop at the first stage with failures."""
    stage: Stage | None = Stage(runner.spec, order.work, store)
    while stage is not None:
        advance = begin(f"{runner.spec.name} · {stage.work.name}", len(stage.jobs))
        _answer(runner, stage, store, advance=advance, energy=energy)
        if stage.failures:
            return stage.failures
        stage = stage.following()
    return []


def _answer(
    runner: Runner, stage: Stage, store: Store, *, advance: Advance, energy: EnergyMeter
) -> None:
    if runner.spec.backend not in PAID_BACKENDS:
        # A local model looks at all of them, again and again.
        requests: Sequence[Request] = [job.request for job in stage.jobs]
        for finished in _metered(run_requests(runner, requests), energy):
            stage.keep([Batch(stage.jobs, finished)], advance=advance)
        return
    with store.claiming():
        for part in _unclaimed(runner.spec, stage.jobs, store):
            for finished in run_requests(runner, _Requests(part)):
                stage.keep([Batch(part, finished)], advance=advance)


def _metered(
    answers: Iterator[Finished[Response]], energy: EnergyMeter
) -> Iterator[Finished[Response]]:
    """Add the energy that each batch took, without that of storing the one before."""
    before = energy.now()
    for finished in answers:
        joules = energy.since(before)
        yield replace(finished, efficiency=replace(finished.efficiency, joules=joules))
        before = energy.now()


def _unclaimed(spec: ModelSpec, jobs: Sequence[Job], store: Store) -> Iterator[list[Job]]:
    """Yield the jobs that no other process is paying for, then those that others gave up."""
    left = list(jobs)
    while left:
        ours = store.claim(spec.fingerprint, [job.key for job in left])
        # What another process answered before it let go is found only now.
        left = pending(spec, left, store)
        part = [job for job in left if job.key in ours]
        if part:
            yield part
        left = [job for job in left if job.key not in ours]
        if left and not part:
            time.sleep(_POLL_S)


class _Requests(Sequence[Request]):
    """What jobs ask, each request made when it is looked at."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs

    def __len__(self) -> int:
        return len(self._jobs)

    @overload
    def __getitem__(self, place: int) -> Request: ...
    @overload
    def __getitem__(self, place: slice) -> _Requests: ...
    def __getitem__(self, place: int | slice) -> Request | _Requests:
        if isinstance(place, slice):
            return _Requests(self._jobs[place])
        return self._jobs[place].request
