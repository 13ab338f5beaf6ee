"""A leaderboard as JSON."""

from __future__ import annotations

from evalcore.codec import jsonable
from leaderboards.flat import flat_rows
from leaderboards.records import Column, Leaderboard, Source
from leaderboards.words import summary

__all__ = ["board_form"]


def board_form(leaderboard: Leaderboard) -> dict[str, object]:
    """Shape a leaderboard for JSON: the runs behind it stay in the workspace.

    ``table`` has the rows of :func:`~leaderboards.flat.flat_rows`; the rest has what they are made
    of, nested.
    """
    return {
        "summary": summary(leaderboard),
        "rating": leaderboard.rating_title,
        "ranked_by": leaderboard.ranked_by,
        "confidence_level": leaderboard.confidence_level,
        "reference": leaderboard.reference,
        "margin": leaderboard.request.margin,
        "table": flat_rows(leaderboard),
        "standings": [
            {"fingerprint": standing.model.fingerprint, **jsonable(standing)}
            for standing in leaderboard.standings
        ],
        "sources": [_source(source) for source in leaderboard.sources],
        "agreement": leaderboard.agreement,
        "costs": leaderboard.costs,
        "deprecated": leaderboard.deprecated,
        "columns": [_column(column) for column in leaderboard.columns],
        "pairs": list(leaderboard.pairs),
        "warnings": leaderboard.warnings,
    }


def _source(source: Source) -> dict[str, object]:
    return {
        "kind": source.kind,
        "title": source.title,
        "n_comparisons": source.n_comparisons,
        "n_raters": source.n_raters,
        "n_examples": source.n_examples,
        "raters": source.raters,
        "method": source.method,
        "scale": source.scale,
        "rows": source.rows,
        "warnings": source.warnings,
    }


def _column(column: Column) -> dict[str, object]:
    return {
        "task": column.task,
        "metric": column.metric,
        "higher_is_better": column.higher_is_better,
        "task_hash": column.task_hash,
        "n_examples": column.n_examples,
        "in_rating": column.in_rating,
        "pairs": list(column.pairs),
        "tie_groups": column.tie_groups,
        "best": column.best,
    }
