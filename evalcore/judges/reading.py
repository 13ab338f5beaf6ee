"""What judges said, read from their stored replies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from evalcore.judges.jobs import JudgingJob, calls_on
from evalcore.judges.jury import jury_outcome, jury_rating
from evalcore.judges.ledger import Tally
from evalcore.judges.merging import (
    Outcome,
    merge,
    settled_outcome,
    unscored_outcome,
    verdicts_of,
)
from evalcore.judges.parsing import UNSCORED, read_reply
from evalcore.judges.planning import Call, Unit, prompt_for
from evalcore.judges.rated import RatedTurn
from evalcore.judges.records import Judge, Verdict
from evalcore.protocols import Completion, Response
from evalcore.store import Store

__all__ = ["Found", "Said", "read_joint", "read_replies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one judge said of one unit."""

    verdicts: Sequence[Verdict] = ()
    outcomes: Sequence[Outcome] = ()
    """Of a unit's pairs; none of a single answer."""
    rated: Sequence[RatedTurn] = ()
    """Of a single answer."""
    text: str = ""
    """The reply in the first order."""


@dataclass(slots=True)
class Found:
    """What one judge said of everything."""

    judge: Judge
    tally: Tally = field(default_factory=Tally)
    outcomes: list[Outcome] = field(default_factory=list)
    rated: list[RatedTurn] = field(default_factory=list)
    n_asked: int = 0
    spent_usd: float = 0.0
    counted: set[str] = field(default_factory=set)
    """Keys of the calls in the tally: where answers are alike, two pairs share a call."""

    def take(self, said: Sequence[Said]) -> None:
        """Add what was said of further units."""
        self.outcomes += [outcome for one in said for outcome in one.outcomes]
        self.rated += [rated for one in said for rated in one.rated]

    def count(
        self, call: Call, replies: Sequence[Response], *, is_missing: bool, is_unscored: bool
    ) -> None:
        """Count a call, unless it has been."""
        key = call.requests[0].key
        if key in self.counted:
            return
        self.counted.add(key)
        self.tally.n_calls += 1
        self.tally.n_missing += is_missing
        if not is_missing:
            self.tally.n_unscored += is_unscored
            self.tally.add(replies)


def read_replies(job: JudgingJob, found: Found, units: Sequence[Unit], store: Store) -> list[Said]:
    """Read what a judge said of some units, and count it."""
    rule = next((rule for rule in job.rules if rule.judge is found.judge), None)
    if rule is not None:
        verdicts = [rule.verdict(unit) for unit in units]
        found.tally.n_unscored += sum(verdict.winner is None for verdict in verdicts)
        return [
            Said(verdicts=[verdict], outcomes=_outcomes(job, unit, [verdict]), text=verdict.label)
            for unit, verdict in zip(units, verdicts, strict=True)
        ]
    calls = [calls_on(job, found.judge, unit) for unit in units]
    keys = {request.key for some in calls for call in some for request in call.requests}
    replies = store.responses(found.judge.fingerprint, list(keys))
    return [
        _read_unit(job, found, unit, some, replies) for unit, some in zip(units, calls, strict=True)
    ]


def _read_unit(
    job: JudgingJob,
    found: Found,
    unit: Unit,
    calls: Sequence[Call],
    replies: Mapping[str, Response],
) -> Said:
    verdicts: list[Verdict] = []
    texts: list[str] = []
    is_complete = True
    for call in calls:
        said = [replies[request.key] for request in call.requests if request.key in replies]
        is_missing = len(said) < len(call.requests)
        reading = (
            UNSCORED if is_missing else read_reply(call.prompt, said, n_answers=len(unit.answers))
        )
        found.count(call, said, is_missing=is_missing, is_unscored=math.isnan(reading.value))
        if is_missing:
            is_complete = False
            continue
        verdicts += verdicts_of(found.judge, unit, call, reading, cost_usd=_cost_usd(said))
        texts += [item.text for item in said if isinstance(item, Completion)]
    return Said(
        verdicts=verdicts,
        outcomes=_outcomes(job, unit, verdicts if is_complete else []),
        rated=_rated(unit, verdicts),
        text=texts[0] if texts else "",
    )


def _cost_usd(replies: Sequence[Response]) -> float | None:
    """Sum up what is known of what replies cost; None if nothing is."""
    known = [
        reply.cost_usd
        for reply in replies
        if isinstance(reply, Completion) and reply.cost_usd is not None
    ]
    return sum(known) if known else None


def _outcomes(job: JudgingJob, unit: Unit, verdicts: Sequence[Verdict]) -> list[Outcome]:
    """Merge verdicts; without any, pairs are ties if their answers are equal, else unscored."""
    if verdicts and verdicts[0].model_b is not None:
        return merge(verdicts, unit, disagreement=job.disagreement)
    if verdicts or len(unit.answers) == 1:
        return []
    version = prompt_for(job.protocol, unit).version
    of_pair = settled_outcome if unit.is_settled else unscored_outcome
    return [of_pair(unit, pair, prompt_version=version) for pair in combinations(unit.answers, 2)]


def _rated(unit: Unit, verdicts: Sequence[Verdict]) -> list[RatedTurn]:
    """Return the rating of a single answer, nan without a reply; none for several answers."""
    if len(unit.answers) > 1:
        return []
    (answer,) = unit.answers
    value, parts = (verdicts[0].value, verdicts[0].parts) if verdicts else (math.nan, {})
    return [
        RatedTurn(
            fingerprint=answer.fingerprint,
            example_id=unit.example.id,
            turn=unit.turn,
            value=value,
            parts=parts,
        )
    ]


def read_joint(judges: Sequence[Judge], said: Sequence[Said]) -> Said:
    """Let the jury say something of a unit, from what each member said of it."""
    by_pair = zip(*[one.outcomes for one in said], strict=True)
    outcomes = [jury_outcome(judges, some) for some in by_pair]
    by_answer = zip(*[one.rated for one in said], strict=True)
    rated = [jury_rating(judges, some) for some in by_answer]
    return Said(outcomes=outcomes, rated=rated, text=_told(judges, said))


def _told(judges: Sequence[Judge], said: Sequence[Said]) -> str:
    return "\n\n".join(
        f"{judge.name}: {one.text}" for judge, one in zip(judges, said, strict=True) if one.text
    )
