"""A study's report: what came out, how sure it is, who was flagged and what they change."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.quality import RaterQuality, check_raters
from arena.recorded import RecordedVote, cast_votes, read_votes
from arena.records import BattleStatus, VoteStatus
from arena.studies.registry import RegisteredStudy
from arena.studies.results import StudyResult, position_counts, study_result
from arena.studies.stopping import decide
from evalcore.records import Estimate
from evalcore.stats.sequential import Decision
from evalcore.store.arena_schema import battle

__all__ = ["StudyReport", "html_report", "markdown_report", "report_form", "study_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """Everything that a study's report says."""

    study: RegisteredStudy
    result: StudyResult
    """Of all votes that count."""
    unflagged: StudyResult
    """Of the same without those by flagged raters."""
    raters: tuple[RaterQuality, ...]
    """Flagged ones first."""
    decisions: Mapping[str, Decision]
    """Of the anytime-valid rule, by pair; empty for a fixed number of votes."""
    n_items: int
    n_complete: int
    """Items with all their ratings."""
    by_status: Mapping[str, int]
    """Main votes by what became of them."""
    n_known: int
    """Gold and attention items rated."""
    n_known_right: int
    skips: Mapping[str, int]
    """Battles left without a vote, by reason."""
    positions: Mapping[str, Sequence[int]]
    """By model, how often its answer stood on each place, from the left."""
    n_masked: int
    """Votes on answers in which a name was masked."""

    @property
    def n_flagged(self) -> int:
        """Raters with any flag."""
        return sum(bool(rater.flags) for rater in self.raters)


def study_report(connection: Connection, study: RegisteredStudy) -> StudyReport:
    """Compute a study's report from what the database holds now."""
    votes = read_votes(connection, study.name, study.items)
    raters = check_raters(cast_votes(votes), study.definition.quality.rules())
    flagged = {rater.rater for rater in raters if rater.flags}
    names = study.model_names
    known = [vote for vote in votes if vote.is_right is not None and not vote.is_training]
    main = [vote for vote in votes if vote.is_main]
    return StudyReport(
        study=study,
        result=study_result(study.definition, votes, names),
        unflagged=study_result(
            study.definition, [vote for vote in votes if vote.rater not in flagged], names
        ),
        raters=tuple(raters),
        decisions=decide(study, votes),
        n_items=len(study.plan.of_kind("main")),
        n_complete=_n_complete(study, votes),
        by_status=dict(Counter(str(vote.status) for vote in main)),
        n_known=len(known),
        n_known_right=sum(bool(vote.is_right) for vote in known),
        skips=_skips(connection, study.name),
        positions=position_counts(votes, names),
        n_masked=sum("leaks" in vote.battle.flags for vote in main),
    )


def markdown_report(report: StudyReport) -> str:
    """Write the report as Markdown."""
    return _render("study_report.md", report, autoescape=False)


def html_report(report: StudyReport) -> str:
    """Write the report as one HTML file that asks for nothing from elsewhere."""
    return _render("study_report.html", report, autoescape=True)


def report_form(report: StudyReport) -> dict[str, Any]:
    """Return a report for JSON; raters are listed apart."""
    return {
        "n_items": report.n_items,
        "n_complete": report.n_complete,
        "n_flagged": report.n_flagged,
        "by_status": report.by_status,
        "n_known": report.n_known,
        "n_known_right": report.n_known_right,
        "skips": report.skips,
        "positions": report.positions,
        "result": report.result,
        "unflagged": report.unflagged,
        "decisions": report.decisions,
    }


def _render(template: str, report: StudyReport, *, autoescape: bool) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("arena.studies"),
        autoescape=autoescape,  # noqa: S701 - off for Markdown, which is no page
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number, "p_value": p_value}
    return environment.get_template(template).render(
        report=report,
        study=report.study,
        results=[
            ("All raters", report.result),
            (f"Without the {report.n_flagged} flagged raters", report.unflagged),
        ][: 2 if report.n_flagged else 1],
        statuses=[status for status in VoteStatus if str(status) in report.by_status],
    )


def percent(estimate: Estimate) -> str:
    """Write a share with its interval, such as ``48.3 % [45.1, 51.6]``."""
    if math.isnan(estimate.value):
        return "no votes"
    low, high = 100.0 * estimate.low, 100.0 * estimate.high
    return f"{100.0 * estimate.value:.1f} % [{low:.1f}, {high:.1f}]"


def number(estimate: Estimate) -> str:
    """Write a value with its interval, such as ``0.42 [0.35, 0.49]``; a dash for nan."""
    if math.isnan(estimate.value):
        return "–"
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def p_value(value: float) -> str:
    """Write a p-value with its sign of relation."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _n_complete(study: RegisteredStudy, votes: Iterable[RecordedVote]) -> int:
    n_ratings = Counter(vote.battle.item for vote in votes if vote.counts)
    return sum(n >= study.definition.ratings_per_item for n in n_ratings.values())


def _skips(connection: Connection, study: str) -> dict[str, int]:
    columns = battle.c
    # A bound value would be another one in GROUP BY than in SELECT, which PostgreSQL refuses.
    reason: Any = sa.func.coalesce(columns.reason, sa.literal_column("''"))
    query = (
        sa.select(columns.status, reason.label("reason"), sa.func.count().label("n"))
        .where(
            columns.study == study,
            columns.status.in_([BattleStatus.SKIPPED, BattleStatus.EXPIRED]),
        )
        .group_by(columns.status, reason)
        .order_by(columns.status, reason)
    )
    return {f"{row.status}: {row.reason}".rstrip(": "): row.n for row in connection.execute(query)}
