"""Letting models answer requests: what is stored isn't asked again, what is ready is stored."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, cast, overload

from evalcore.errors import IncompleteError
from evalcore.protocols import (
    Completion,
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

__all__ = [
    "PAID_BACKENDS",
    "Advance",
    "Begin",
    "Job",
    "OpenRunners",
    "ReadyJob",
    "Work",
    "pending",
    "respond",
]

PAID_BACKENDS: Final = frozenset({"openai"})
"""Models whose calls may cost money: no two processes make the same one."""

_POLL_S = 0.5

OpenRunners = Callable[[Sequence[ModelSpec]], Generator[Runner, None, None]]
"""Yields a running model for each spec, each in use until the next one is asked for."""

Advance = Callable[[int, float], None]
"""Told how many more requests have been finished, and what they cost in US dollars."""
Begin = Callable[[str, int], Advance]
"""Told a label and a number of requests; begins to show how they get on."""


class Job(Protocol):
    """A request, and the example it was made for."""

    @property
    def example(self) -> Example:
        """What it was made for."""

    @property
    def request(self) -> Request:
        """What is asked; may be made anew each time, where all prompts together are large."""

    @property
    def key(self) -> str:
        """Of the request."""

    @property
    def previous_key(self) -> str | None:
        """Request of the turn before, in a conversation of several turns."""


@dataclass(frozen=True, slots=True)
class ReadyJob:
    """A job whose request is at hand."""

    example: Example
    request: Request
    previous_key: str | None = None

    @property
    def key(self) -> str:
        """Of the request."""
        return self.request.key


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
    by_key = {job.key: job for job in jobs}
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
    soon as all its answers are stored. An answer that failed is not stored: the next run asks
    again.

    Raises
    ------
    IncompleteError
        After everything else has been done, with the number of failures by reason.
    """
    left: dict[str, list[Work]] = {}
    for spec in specs:
        store.add_model(spec)
        left[spec.fingerprint] = [work for work in works if not _is_done(spec, work, store)]
        for work in works:
            if work not in left[spec.fingerprint]:
                done(spec, work)
    busy = {spec.fingerprint: spec for spec in specs if left[spec.fingerprint]}
    failures: list[str] = []
    with closing(open_runners(list(busy.values()))) as runners:
        for runner in runners:
            for work in left[runner.spec.fingerprint]:
                failed = _answer_stages(runner, work, store, begin=begin)
                failures += [f"{runner.spec.name}: {reason}" for reason in failed]
                if not failed:
                    done(runner.spec, work)
    if failures:
        raise IncompleteError(_told(failures))


def _told(failures: Sequence[str]) -> str:
    reasons = [f"{count} × {reason}" for reason, count in Counter(failures).most_common()]
    return (
        f"{len(failures)} answers could not be had ({'; '.join(reasons)}); "
        "the same command asks for these again"
    )


def _answer_stages(runner: Runner, work: Work, store: Store, *, begin: Begin) -> list[str]:
    """Answer a work and all that follows from it; stop at the first stage with failures."""
    stage: Work | None = work
    while stage is not None:
        failed = _answer(runner, stage, store, begin=begin)
        if failed:
            return failed
        stage = _next_stage(runner.spec, stage, store)
    return []


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
    keys = [job.key for job in stage.jobs]
    answered = store.responses(spec.fingerprint, keys)
    return stage.then([answered[key] for key in keys])


def _answer(runner: Runner, work: Work, store: Store, *, begin: Begin) -> list[str]:
    """Answer what is left of some jobs; return the reasons of those that failed."""
    todo = pending(runner.spec, work.jobs, store)
    advance = begin(f"{runner.spec.name} · {work.name}", len(todo))
    failures: list[str] = []
    if runner.spec.backend not in PAID_BACKENDS:
        return _ask(runner, todo, work, store, advance=advance)
    with store.claiming():
        for part in _unclaimed(runner.spec, todo, store):
            failures += _ask(runner, part, work, store, advance=advance)
    return failures


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


def _ask(
    runner: Runner, jobs: Sequence[Job], work: Work, store: Store, *, advance: Advance
) -> list[str]:
    failures: list[str] = []
    requests: Sequence[Request] = _Requests(jobs)
    if runner.spec.backend not in PAID_BACKENDS:
        requests = list(requests)  # a local model looks at all of them, again and again
    for finished in _run(runner, requests):
        answered = []
        for place, response in finished.results:
            if isinstance(response, Completion) and response.finish_reason == "error":
                failures.append(response.text)
            else:
                answered.append(_answered(jobs[place], response))
        keep = partial(
            store.add_responses,
            runner.spec.fingerprint,
            answered,
            task_hash=work.key,
            took=finished.efficiency,
        )
        try:
            keep()
        except KeyboardInterrupt:
            keep()  # it has been paid for; what is there already stays as it is
            raise
        cost = sum(getattr(item.response, "cost_usd", None) or 0.0 for item in answered)
        advance(len(finished.results), cost)
    return failures


def _answered(job: Job, response: Response) -> Answered:
    return Answered(
        example_id=job.example.id,
        request_key=job.key,
        response=response,
        params=getattr(job.request, "params", None),
        previous_key=job.previous_key,
    )


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


def _run(runner: Runner, requests: Sequence[Request]) -> Iterator[Finished[Response]]:
    if not requests:
        return iter(())
    if isinstance(requests[0], GenerateRequest):
        return runner.generate(cast("Sequence[GenerateRequest]", requests))
    if isinstance(requests[0], LoglikelihoodRequest):
        return runner.loglikelihood(cast("Sequence[LoglikelihoodRequest]", requests))
    return runner.loglikelihood_rolling(cast("Sequence[RollingRequest]", requests))
