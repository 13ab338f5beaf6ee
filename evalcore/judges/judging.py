"""Doing a judging job: ask what hasn't been asked, read all replies, settle what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evalcore.answering import respond
from evalcore.errors import IncompleteError
from evalcore.executors import Executor
from evalcore.judges.attacks import check_answers
from evalcore.judges.jobs import UNITS_AT_ONCE, JudgingJob, work_of
from evalcore.judges.jury import jury
from evalcore.judges.ledger import Meter
from evalcore.judges.merging import comparison_id, comparison_of
from evalcore.judges.planning import Unit, plan_units
from evalcore.judges.rated import settle_ratings
from evalcore.judges.reading import Found, Said, read_joint, read_replies
from evalcore.judges.records import Judge
from evalcore.judges.summary import JudgeSummary, JudgingResult, pair_summaries
from evalcore.records import EvalRun
from evalcore.stages import Begin, Work
from evalcore.store import Store

__all__ = ["judge"]


def judge(job: JudgingJob, store: Store, *, executor: Executor, begin: Begin) -> JudgingResult:
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
    executor, begin
        As in :func:`~evalcore.answering.respond`.

    Returns
    -------
    JudgingResult
        Also where replies are missing: ``problems`` says why.
    """
    job.check()
    units = list(plan_units(job.plan))
    everyone = [Found(member) for member in job.judges]
    problems = []
    for found in everyone:
        meter = Meter()
        work = work_of(job, found.judge, units)
        try:
            _ask(found.judge, work, store, executor=executor, begin=meter.metered(begin))
        except IncompleteError as error:
            problems.append(str(error))
        found.n_asked, found.spent_usd = meter.n_asked, meter.cost_usd
    everyone += [Found(rule.judge) for rule in job.rules]
    together = Found(jury(job.judges)) if job.is_jury else None
    for start in range(0, len(units), UNITS_AT_ONCE):
        _settle(job, units[start : start + UNITS_AT_ONCE], everyone, together, store=store)
    return _result(job, everyone, together, problems, store=store)


def _ask(member: Judge, work: Work, store: Store, *, executor: Executor, begin: Begin) -> None:
    specs = [] if member.spec is None else [member.spec]
    respond(
        specs,
        [work],
        store,
        executor=executor,
        begin=begin,
        done=lambda _spec, _work: None,
    )


def _settle(
    job: JudgingJob,
    units: Sequence[Unit],
    members: Sequence[Found],
    together: Found | None,
    *,
    store: Store,
) -> None:
    """Read what all judges said of some units, and keep what follows."""
    said = [read_replies(job, found, units, store) for found in members]
    store.save_verdicts(verdict for some in said for one in some for verdict in one.verdicts)
    for found, some in zip(members, said, strict=True):
        found.take(some)
        if together is None:
            _keep(found.judge, some, store)
    if together is not None:
        joint = [read_joint(job.judges, of_unit) for of_unit in zip(*said, strict=True)]
        together.take(joint)
        _keep(together.judge, joint, store)


def _keep(member: Judge, said: Sequence[Said], store: Store) -> None:
    told = [(outcome, one.text) for one in said for outcome in one.outcomes]
    ids = [comparison_id(member, outcome) for outcome, _ in told]
    comparisons = [comparison_of(member, outcome, explanation=text) for outcome, text in told]
    store.settle_comparisons(ids, [item for item in comparisons if item is not None])


def _result(
    job: JudgingJob,
    members: Sequence[Found],
    together: Found | None,
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


def _judge_summary(found: Found) -> JudgeSummary:
    return JudgeSummary(
        judge=found.judge.name,
        kind=found.judge.kind,
        tally=found.tally,
        n_asked=found.n_asked,
        spent_usd=found.spent_usd,
    )


def _unscored(members: Sequence[Found]) -> Iterator[str]:
    for found in members:
        n_unscored, name = found.tally.n_unscored, found.judge.name
        if n_unscored and found.judge.spec is None:
            yield f"{n_unscored} of {len(found.outcomes)} pairs have no value by {name}"
        elif n_unscored:
            yield (
                f"{n_unscored} of {found.tally.n_calls - found.tally.n_missing} replies of {name} "
                "hold no verdict that can be read; they are kept, and unscored"
            )


def _warnings(job: JudgingJob, members: Sequence[Found]) -> Iterator[str]:
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
