"""What the checks of votes found, as JSON and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evalcore.stats.quality import QualityReport, RankChange

__all__ = ["quality_form", "quality_words"]


def quality_form(report: QualityReport) -> dict[str, Any]:
    """Return a report for JSON: what was marked, and the ranks with and without it."""
    return {
        "dominating_raters": report.dominating,
        "outlier_raters": report.outliers,
        "suspicions": [
            {"check": found.check, "n_votes": found.n_votes, "rank_changes": found.changes}
            for found in report.suspicions
        ],
        "position": report.position,
        "position_rank_changes": report.position_changes,
    }


def quality_words(report: QualityReport) -> Iterator[str]:
    """Yield a line for everything that was found; one that says so if nothing was."""
    for found in report.dominating:
        yield f"rater {found.rater} cast {found.share:.0%} of the votes ({found.n_votes})"
    for outlier in report.outliers:
        yield (
            f"rater {outlier.rater} votes unlike the others (p = {outlier.p_value:.2g}, "
            f"{outlier.n_votes} votes), above all on {outlier.favourite}"
        )
    for suspicion in report.suspicions:
        changes = _changes(suspicion.changes)
        yield f"without {suspicion.n_votes} votes marked as {suspicion.check}: {changes}"
    place = report.position
    if place is not None and not place.low <= 0 <= place.high:
        yield (
            f"being shown first adds {place.value:+.2f} log-odds "
            f"({place.low:.2f} to {place.high:.2f}); with it held equal: "
            f"{_changes(report.position_changes)}"
        )
    elif not (report.dominating or report.outliers or report.suspicions):
        yield "the checks of the votes found nothing"


def _changes(changes: Sequence[RankChange] | None) -> str:
    if changes is None:
        return "nothing is left to rate"
    moved = ", ".join(f"{c.model} {c.rank_with} → {c.rank_without or 'unrated'}" for c in changes)
    return moved or "no rank changes"
