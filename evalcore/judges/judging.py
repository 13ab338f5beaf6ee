"""A judging job: ask what hasn't been asked, read all replies, settle what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from evalcore.answering import PAID_BACKENDS, Begin, Job, OpenRunners, Work, respond
from evalcore.errors import IncompleteError, InputError
from evalcore.hashing import content_hash
from evalcore.judges.attacks import check_answers
from evalcore.judges.jury import jury, jury_outcome, jury_rating
from evalcore.judges.ledger import Estimated, Meter, Price, Tally, estimate_calls
from evalcore.judges.merging import (
    Outcome,
    comparison_id,
    comparison_of,
    merge,
    settled_outcome,
    unscored_outcome,
    verdicts_of,
)
from evalcore.judges.parsing import read_reply
from evalcore.judges.planning import Call, Plan, Unit, calls_of, plan_units, prompt_for
from evalcore.judges.rated import RatedTurn, settle_ratings
from evalcore.judges.records import Disagreement, Judge, Protocol, Verdict
from evalcore.judges.rules import Rule
from evalcore.judges.summary import JudgeSummary, JudgingResult, pair_summaries
from evalcore.protocols import Completion, Request, Response
from evalcore.records import EvalRun
from evalcore.store import Store

__all__ = ["JudgingJob", "estimate", "judge"]

_UNITS_AT_ONCE = 500


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What one judge said of one unit."""

    verdicts: Sequence[Verdict] = ()
    outcomes: Sequence[Outcome] = ()
    """Of a unit's pairs; none of a single answer."""
    rated: Sequence[RatedTurn] = ()
    """Of a single answer."""
    text: str = ""
    """The reply in the first order."""


@dataclass(slots=True)
class _Found:
    """What one judge said of everything."""

    judge: Judge
    tally: Tally = field(default_factory=Tally)
    outcomes: list[Outcome] = field(default_factory=list)
    rated: list[RatedTurn] = field(default_factory=list)
    n_asked: int = 0
    spent_usd: float = 0.0

    def take(self, said: Sequence[_Said]) -> None:
        self.outcomes += [outcome for one in said for outcome in one.outcomes]
        self.rated += [rated for one in said for rated in one.rated]


def estimate(job: JudgingJob, store: Store, *, price: Price) -> list[Estimated]:
    """Say what a job would still take of each judge that is a model, and ask nothing."""
    job.check()
    units = list(plan_units(job.plan))
    found = []
    for member in job.judges:
        asked = {request.key: request for _, request in _requests(job, member, units)}
        replies = store.responses(member.fingerprint, list(asked))
        found.append(estimate_calls(member, list(asked.values()), replies=replies, price=price))
    return found


def judge(
    job: JudgingJob, store: Store, *, open_runners: OpenRunners, begin: Begin
) -> JudgingResult:
    """Do a judging job.

    Each reply is stored the moment it returns, under the judge and a hash of all that it was asked;
    what is stored is never asked again. Verdicts, comparisons, scores and summaries are read from
    the stored replies each time, so that the same job repeated has the same result.

    Parameters
    ----------
    job
        What is judged.
    store
        Holds the answers, and takes what is found.
    open_runners, begin
        As in :func:`~evalcore.answering.respond`.

    Returns
    -------
    JudgingResult
        Also where replies are missing: ``problems`` says why.
    """
    job.check()
    units = list(plan_units(job.plan))
    everyone = [_Found(member) for member in job.judges]
    problems = []
    for found in everyone:
        meter = Meter()
        work = _work(job, found.judge, units)
        try:
            _ask(found.judge, work, store, open_runners=open_runners, begin=meter.metered(begin))
        except IncompleteError as error:
            problems.append(str(error))
        found.n_asked, found.spent_usd = meter.n_asked, meter.cost_usd
    everyone += [_Found(rule.judge) for rule in job.rules]
    together = _Found(jury(job.judges)) if job.is_jury else None
    for start in range(0, len(units), _UNITS_AT_ONCE):
        _settle(job, units[start : start + _UNITS_AT_ONCE], everyone, together, store=store)
    return _result(job, everyone, together, problems, store=store)


def _requests(
    job: JudgingJob, member: Judge, units: Sequence[Unit]
) -> Iterator[tuple[Unit, Request]]:
    for unit in units:
        for call in _calls(job, member, unit):
            for request in call.requests:
                yield unit, request


def _calls(job: JudgingJob, member: Judge, unit: Unit) -> list[Call]:
    # A server tells the likeliest first tokens; a model at hand tells each label's probability.
    scores_labels = member.spec is not None and member.spec.backend not in PAID_BACKENDS
    return calls_of(unit, job.protocol, order=job.plan.order, scores_labels=scores_labels)


def _work(job: JudgingJob, member: Judge, units: Sequence[Unit]) -> Work:
    # A reply is no answer to the example: under the example's own id it would pass for one, where
    # a judge is also among the models judged.
    ids = {example.id: content_hash(["judged", example.id]) for example in job.plan.examples}
    jobs = [
        Job(replace(unit.example, id=ids[unit.example.id]), request)
        for unit, request in _requests(job, member, units)
    ]
    return Work(job.protocol.name, content_hash(["judged", job.protocol.name, *ids]), jobs)


def _ask(
    member: Judge, work: Work, store: Store, *, open_runners: OpenRunners, begin: Begin
) -> None:
    specs = [] if member.spec is None else [member.spec]
    respond(
        specs,
        [work],
        store,
        open_runners=open_runners,
        begin=begin,
        done=lambda _spec, _work: None,
    )


def _settle(
    job: JudgingJob,
    units: Sequence[Unit],
    members: Sequence[_Found],
    together: _Found | None,
    *,
    store: Store,
) -> None:
    """Read what all judges said of some units, and keep what follows."""
    said = [_read(job, found, units, store) for found in members]
    store.save_verdicts(verdict for some in said for one in some for verdict in one.verdicts)
    for found, some in zip(members, said, strict=True):
        found.take(some)
        if together is None:
            _keep(found.judge, some, store)
    if together is not None:
        joint = [_joint(job.judges, of_unit) for of_unit in zip(*said, strict=True)]
        together.take(joint)
        _keep(together.judge, joint, store)


def _keep(member: Judge, said: Sequence[_Said], store: Store) -> None:
    told = [(outcome, one.text) for one in said for outcome in one.outcomes]
    ids = [comparison_id(member, outcome) for outcome, _ in told]
    comparisons = [comparison_of(member, outcome, explanation=text) for outcome, text in told]
    store.settle_comparisons(ids, [item for item in comparisons if item is not None])


def _read(job: JudgingJob, found: _Found, units: Sequence[Unit], store: Store) -> list[_Said]:
    rule = next((rule for rule in job.rules if rule.judge is found.judge), None)
    if rule is not None:
        verdicts = [rule.verdict(unit) for unit in units]
        found.tally.n_unscored += sum(verdict.winner is None for verdict in verdicts)
        return [
            _Said(verdicts=[verdict], outcomes=_outcomes(job, unit, [verdict]), text=verdict.label)
            for unit, verdict in zip(units, verdicts, strict=True)
        ]
    calls = [_calls(job, found.judge, unit) for unit in units]
    keys = {request.key for some in calls for call in some for request in call.requests}
    replies = store.responses(found.judge.fingerprint, list(keys))
    return [
        _read_unit(job, found, unit, some, replies) for unit, some in zip(units, calls, strict=True)
    ]


def _read_unit(
    job: JudgingJob,
    found: _Found,
    unit: Unit,
    calls: Sequence[Call],
    replies: Mapping[str, Response],
) -> _Said:
    verdicts: list[Verdict] = []
    texts: list[str] = []
    n_missing = 0
    for call in calls:
        said = [replies[request.key] for request in call.requests if request.key in replies]
        if len(said) < len(call.requests):
            n_missing += 1
            continue
        cost_usd = found.tally.add(said)
        reading = read_reply(call.prompt, said, n_answers=len(unit.answers))
        found.tally.n_unscored += math.isnan(reading.value)
        verdicts += verdicts_of(found.judge, unit, call, reading, cost_usd=cost_usd)
        texts += [item.text for item in said if isinstance(item, Completion)]
    found.tally.n_calls += len(calls)
    found.tally.n_missing += n_missing
    return _Said(
        verdicts=verdicts,
        outcomes=_outcomes(job, unit, [] if n_missing else verdicts),
        rated=[_rated(verdict) for verdict in verdicts if verdict.model_b is None],
        text=texts[0] if texts else "",
    )


def _outcomes(job: JudgingJob, unit: Unit, verdicts: Sequence[Verdict]) -> list[Outcome]:
    """Merge verdicts; without any, pairs are ties if their answers are equal, else unscored."""
    if verdicts and verdicts[0].model_b is not None:
        return merge(verdicts, unit, disagreement=job.disagreement)
    if verdicts or len(unit.answers) == 1:
        return []
    version = prompt_for(job.protocol, unit).version
    of_pair = settled_outcome if unit.is_settled else unscored_outcome
    return [of_pair(unit, pair, prompt_version=version) for pair in combinations(unit.answers, 2)]


def _rated(verdict: Verdict) -> RatedTurn:
    return RatedTurn(
        fingerprint=verdict.model_a,
        example_id=verdict.example_id,
        turn=verdict.turn,
        value=verdict.value,
        parts=verdict.parts,
    )


def _joint(judges: Sequence[Judge], said: Sequence[_Said]) -> _Said:
    """Let the jury say something of a unit, from what each member said of it."""
    by_pair = zip(*[one.outcomes for one in said], strict=True)
    outcomes = [jury_outcome(judges, some) for some in by_pair]
    if not all(one.rated for one in said):
        return _Said(outcomes=outcomes, text=_told(judges, said))
    rated = jury_rating(judges, [one.rated[0] for one in said])
    return _Said(rated=[rated], text=_told(judges, said))


def _told(judges: Sequence[Judge], said: Sequence[_Said]) -> str:
    return "\n\n".join(
        f"{judge.name}: {one.text}" for judge, one in zip(judges, said, strict=True) if one.text
    )


def _result(
    job: JudgingJob,
    members: Sequence[_Found],
    together: _Found | None,
    problems: Sequence[str],
    *,
    store: Store,
) -> JudgingResult:
    everyone = [*members, *([] if together is None else [together])]
    runs: list[EvalRun] = []
    if job.plan.kind == "single":
        for found in everyone if together is None else [together]:
            runs += settle_ratings(found.judge, job.protocol, job.plan, found.rated, store)
    return JudgingResult(
        judges=tuple(_judge_summary(found) for found in members),
        pairs=tuple(
            pair for found in everyone for pair in pair_summaries(found.judge, found.outcomes)
        ),
        runs=tuple(runs),
        warnings=tuple(_warnings(job, members)),
        problems=(*problems, *_unscored(members)),
    )


def _judge_summary(found: _Found) -> JudgeSummary:
    return JudgeSummary(
        judge=found.judge.name,
        kind=found.judge.kind,
        tally=found.tally,
        n_asked=found.n_asked,
        spent_usd=found.spent_usd,
    )


def _unscored(members: Sequence[_Found]) -> Iterator[str]:
    for found in members:
        n_replies = found.tally.n_calls - found.tally.n_missing
        if found.judge.spec is None:
            n_replies = len(found.outcomes)
        if found.tally.n_unscored:
            yield (
                f"{found.tally.n_unscored} of {n_replies} replies of {found.judge.name} hold no "
                "verdict that can be read; they are kept, and unscored"
            )


def _warnings(job: JudgingJob, members: Sequence[_Found]) -> Iterator[str]:
    plan = job.plan
    if plan.kind != "single" and plan.order != "both" and job.judges:
        yield (
            "each pair was shown in one order only: a judge's preference for a place "
            + ("isn't seen" if plan.order == "random" else "is part of the verdicts")
        )
    judged = {spec.fingerprint: spec.name for spec in plan.specs}
    for found in members:
        if found.judge.fingerprint in judged:
            yield f"judge {found.judge.name} is also one of the models judged"
        if found.tally.n_cut:
            yield (
                f"{found.tally.n_cut} of the prompts for {found.judge.name} were cut at their "
                "beginning to fit its window"
            )
    prompts = {example.id: example.messages[-1].content for example in plan.examples}
    for spec in plan.specs:
        given = plan.answers[spec.fingerprint]
        check = check_answers({key: turns[-1].texts[-1] for key, turns in given.items()}, prompts)
        if check.is_flagged:
            yield f"answers of {spec.name} work on the judge: {check.words}"
