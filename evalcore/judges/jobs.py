"""What a judging job is, and what it asks each judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from evalcore.errors import InputError
from evalcore.executors import PAID_BACKENDS
from evalcore.hashing import content_hash
from evalcore.judges.ledger import Estimated, Price, Sizes
from evalcore.judges.planning import Call, Plan, Unit, calls_of, plan_units
from evalcore.judges.records import Disagreement, Judge, Protocol
from evalcore.judges.rules import Rule
from evalcore.protocols import Request
from evalcore.records import Example
from evalcore.stages import Work
from evalcore.store import Store

__all__ = ["UNITS_AT_ONCE", "JudgingJob", "calls_on", "estimate", "work_of"]

UNITS_AT_ONCE: Final = 500
"""Whose prompts and replies are in memory together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingJob:
    """What is judged, by whom, and how."""

    plan: Plan
    protocol: Protocol
    judges: tuple[Judge, ...] = ()
    """Models."""
    rules: tuple[Rule, ...] = ()
    disagreement: Disagreement = "tie"
    is_jury: bool = False
    """Whether the judges' verdicts become one, instead of each judge's own."""

    def check(self) -> None:
        """Refuse what can't be judged, before anything is loaded or paid.

        Raises
        ------
        InputError
            For a jury of one or with rules, two judges of one name, and what a rule can't judge.
        """
        names = [judge.name for judge in (*self.judges, *(rule.judge for rule in self.rules))]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two judges are named {name!r}; name one with NAME=…")
        if self.is_jury and (self.rules or len(self.judges) < 2):
            raise InputError(f"a jury needs two models at least, and no rules; got {names}")
        for rule in self.rules:
            rule.check(self.plan)


def estimate(job: JudgingJob, store: Store, *, price: Price) -> list[Estimated]:
    """Say what a job would still take of each judge that is a model, and ask nothing."""
    job.check()
    units = list(plan_units(job.plan))
    found = []
    for member in job.judges:
        sizes = Sizes()
        for start in range(0, len(units), UNITS_AT_ONCE):
            some = units[start : start + UNITS_AT_ONCE]
            asked = [request for unit in some for request in _requests(job, member, unit)]
            replies = store.responses(member.fingerprint, [request.key for request in asked])
            sizes.add(asked, replies)
        found.append(sizes.estimated(member, price))
    return found


def _requests(job: JudgingJob, member: Judge, unit: Unit) -> list[Request]:
    return [request for call in calls_on(job, member, unit) for request in call.requests]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LateJob:
    """A request that is made when it is looked at: all prompts together can be large."""

    example: Example
    key: str
    job: JudgingJob
    member: Judge
    unit: Unit
    place: int
    """Among the requests on the unit."""
    previous_key: None = None

    @property
    def request(self) -> Request:
        return _requests(self.job, self.member, self.unit)[self.place]


def calls_on(job: JudgingJob, member: Judge, unit: Unit) -> list[Call]:
    """Return what a judge is asked about a unit."""
    # A server tells the likeliest first tokens; a model at hand tells each label's probability.
    scores_labels = member.spec is not None and member.spec.backend not in PAID_BACKENDS
    return calls_of(unit, job.protocol, order=job.plan.order, scores_labels=scores_labels)


def work_of(job: JudgingJob, member: Judge, units: Sequence[Unit]) -> Work:
    """Return all that a job asks a judge."""
    # A reply is no answer to the example: under the example's own id it would pass for one, where
    # a judge is also among the models judged.
    ids = {example.id: content_hash(["judged", example.id]) for example in job.plan.examples}
    examples = {item.id: replace(item, id=ids[item.id]) for item in job.plan.examples}
    jobs = [
        _LateJob(
            example=examples[unit.example.id],
            key=request.key,
            job=job,
            member=member,
            unit=unit,
            place=place,
        )
        for unit in units
        for place, request in enumerate(_requests(job, member, unit))
    ]
    return Work(job.protocol.name, content_hash(["judged", job.protocol.name, *ids]), jobs)
