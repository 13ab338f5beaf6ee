"""Letting models answer requests: what is stored isn't asked again, what is ready is stored."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

from evalcore.protocols import (
    Finished,
    GenerateRequest,
    LoglikelihoodRequest,
    Request,
    Response,
    RollingRequest,
    Runner,
)
from evalcore.records import Example, ModelSpec
from evalcore.store import Store
from evalcore.store.store import Answered

__all__ = ["Begin", "Job", "OpenRunners", "Work", "pending", "respond"]

OpenRunners = Callable[[Sequence[ModelSpec]], Generator[Runner, None, None]]
"""Yields a running model for each spec, each in use until the next one is asked for."""

Advance = Callable[[int], None]
Begin = Callable[[str, int], Advance]
"""Told a label and a number of requests; what it returns is told how many have been finished."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request, and the example it was made for."""

    example: Example
    request: Request
    previous_key: str | None = None
    """Request of the turn before, in a conversation of several turns."""


@dataclass(frozen=True, slots=True)
class Work:
    """Jobs that belong together, all of one kind."""

    name: str
    key: str
    """What the work is counted for: a task's hash."""
    jobs: Sequence[Job]
    then: Callable[[Sequence[Response]], Work | None] | None = None
    """Makes the work that follows from the responses to these jobs, such as the next turn."""


def pending(spec: ModelSpec, jobs: Sequence[Job], store: Store) -> list[Job]:
    """Return the jobs that this model hasn't answered yet, each request once."""
    by_key = {job.request.key: job for job in jobs}
    answered = store.responses(spec.fingerprint, list(by_key))
    return [job for key, job in by_key.items() if key not in answered]


def respond(
    specs: Sequence[ModelSpec],
    works: Sequence[Work],
    store: Store,
    *,
    open_runners: OpenRunners,
    begin: Begin,
    done: Callable[[ModelSpec, Work], None],
) -> None:
    """Let each model answer what it hasn't answered yet.

    Only models with something left to do are opened. ``done`` is called for each model and work as
    soon as all its answers are stored.
    """
    left: dict[str, list[Work]] = {}
    for spec in specs:
        store.add_model(spec)
        left[spec.fingerprint] = [work for work in works if not _is_done(spec, work, store)]
        for work in works:
            if work not in left[spec.fingerprint]:
                done(spec, work)
    busy = {spec.fingerprint: spec for spec in specs if left[spec.fingerprint]}
    with closing(open_runners(list(busy.values()))) as runners:
        for runner in runners:
            for work in left[runner.spec.fingerprint]:
                stage: Work | None = work
                while stage is not None:
                    _answer(runner, stage, store, begin=begin)
                    stage = _next_stage(runner.spec, stage, store)
                done(runner.spec, work)


def _is_done(spec: ModelSpec, work: Work, store: Store) -> bool:
    stage: Work | None = work
    while stage is not None:
        if pending(spec, stage.jobs, store):
            return False
        stage = _next_stage(spec, stage, store)
    return True


def _next_stage(spec: ModelSpec, stage: Work, store: Store) -> Work | None:
    if stage.then is None:
        return None
    keys = [job.request.key for job in stage.jobs]
    answered = store.responses(spec.fingerprint, keys)
    return stage.then([answered[key] for key in keys])


def _answer(runner: Runner, work: Work, store: Store, *, begin: Begin) -> None:
    todo = pending(runner.spec, work.jobs, store)
    advance = begin(f"{runner.spec.name} · {work.name}", len(todo))
    for finished in _run(runner, [job.request for job in todo]):
        answered = [
            Answered(
                example_id=todo[place].example.id,
                request_key=todo[place].request.key,
                response=response,
                params=getattr(todo[place].request, "params", None),
                previous_key=todo[place].previous_key,
            )
            for place, response in finished.results
        ]
        store.add_responses(
            runner.spec.fingerprint, answered, task_hash=work.key, took=finished.efficiency
        )
        advance(len(answered))


def _run(runner: Runner, requests: Sequence[Request]) -> Iterator[Finished[Response]]:
    if not requests:
        return iter(())
    if isinstance(requests[0], GenerateRequest):
        return runner.generate(cast("Sequence[GenerateRequest]", requests))
    if isinstance(requests[0], LoglikelihoodRequest):
        return runner.loglikelihood(cast("Sequence[LoglikelihoodRequest]", requests))
    return runner.loglikelihood_rolling(cast("Sequence[RollingRequest]", requests))
