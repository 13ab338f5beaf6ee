"""What a variant has to answer, stage by stage, and where the answers go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from evalcore.protocols import Completion, Finished, Request, Response
from evalcore.records import Example, ModelSpec
from evalcore.store import Store
from evalcore.store.store import Answered

__all__ = ["Advance", "Batch", "Begin", "Job", "ReadyJob", "Stage", "Work", "pending"]

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
    key: str = field(init=False)
    """Of the request; made once, since every variant is asked the same."""

    def __post_init__(self) -> None:
        """Make the key."""
        object.__setattr__(self, "key", self.request.key)


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
    answered = store.answered(spec.fingerprint, list(by_key))
    return [job for key, job in by_key.items() if key not in answered]


@dataclass(frozen=True, slots=True)
class Batch:
    """Results that became ready together."""

    jobs: Sequence[Job]
    """Which the results' positions count in."""
    finished: Finished[Response]


class Stage:
    """The jobs of a work that a variant hasn't answered yet, and what becomes of them.

    Whoever carries out the work, results are kept through this and in one process.

    Attributes
    ----------
    spec, work
        Which variant, and which work.
    jobs : list of Job
        What wasn't answered when the stage was made, each request once.
    failures : list of str
        Why answers could not be had, one reason for each.
    """

    def __init__(self, spec: ModelSpec, work: Work, store: Store) -> None:
        self.spec = spec
        self.work = work
        self.jobs = pending(spec, work.jobs, store)
        self.failures: list[str] = []
        self._store = store

    def keep(self, batches: Sequence[Batch], *, advance: Advance) -> None:
        """Store results, all of them or none; failed answers are only counted."""
        rows = [(self._answered(batch), batch.finished.efficiency) for batch in batches]
        keep = partial(
            self._store.add_batches, self.spec.fingerprint, rows, task_hash=self.work.key
        )
        try:
            keep()
        except KeyboardInterrupt:
            keep()  # it has been paid for; what is there already stays as it is
            raise
        responses = [item.response for answered, _took in rows for item in answered]
        cost = sum(getattr(response, "cost_usd", None) or 0.0 for response in responses)
        advance(sum(len(batch.finished.results) for batch in batches), cost)

    def _answered(self, batch: Batch) -> list[Answered]:
        answered = []
        for place, response in batch.finished.results:
            if isinstance(response, Completion) and response.finish_reason == "error":
                self.failures.append(response.text)
            else:
                answered.append(_answered(batch.jobs[place], response))
        return answered

    def following(self) -> Stage | None:
        """Return the stage that the answers lead to, all of which must be there; None at the end.

        Raises
        ------
        KeyError
            If an answer is missing.
        """
        if self.work.then is None:
            return None
        keys = [job.key for job in self.work.jobs]
        answered = self._store.responses(self.spec.fingerprint, keys)
        work = self.work.then([answered[key] for key in keys])
        return None if work is None else Stage(self.spec, work, self._store)


def _answered(job: Job, response: Response) -> Answered:
    return Answered(
        example_id=job.example.id,
        request_key=job.key,
        response=response,
        params=getattr(job.request, "params", None),
        previous_key=job.previous_key,
    )
