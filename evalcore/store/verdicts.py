"""Verdicts of judges, and the comparisons that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Connection

from evalcore.judges.records import Verdict
from evalcore.records import Comparison, Score
from evalcore.store import judge_schema, schema
from evalcore.store.database import KEYS_PER_QUERY, Database, insert_rows, nan_if_null, null_if_nan

__all__ = ["Verdicts"]


class Verdicts(Database):
    """What was read in judges' replies; read again, a reply's verdict replaces the earlier one."""

    def save_verdicts(self, verdicts: Iterable[Verdict]) -> None:
        """Store verdicts, replacing those of the same calls."""
        rows = [_row(verdict) for verdict in verdicts]
        with self._writing() as connection:
            _replace(connection, judge_schema.verdict, rows)

    def verdicts(self, *, raters: Sequence[str] | None = None) -> Iterator[Verdict]:
        """Yield verdicts, oldest first; of all judges unless some are named."""
        columns = judge_schema.verdict.c
        query = judge_schema.verdict.select().order_by(columns.created_utc, columns.id)
        if raters is not None:
            query = query.where(columns.rater.in_(raters))
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield _verdict(row)

    def settle_comparisons(self, ids: Sequence[str], comparisons: Iterable[Comparison]) -> None:
        """Put a judge's comparisons in place of all those with some ids.

        Unlike a vote, a merged verdict is derived, and may become another one, or none, when
        orders that disagree are treated otherwise.
        """
        rows = [asdict(comparison) for comparison in comparisons]
        gone = list(set(ids) - {row["id"] for row in rows})
        with self._writing() as connection:
            for start in range(0, len(gone), KEYS_PER_QUERY):
                some = gone[start : start + KEYS_PER_QUERY]
                connection.execute(
                    schema.comparison.delete().where(schema.comparison.c.id.in_(some))
                )
            _replace(connection, schema.comparison, rows)

    def settle_scores(self, scores: Iterable[Score]) -> None:
        """Store scores read from a judge's replies, replacing earlier ones of the same answers."""
        rows = [asdict(score) | {"value": null_if_nan(score.value)} for score in scores]
        with self._writing() as connection:
            insert_rows(connection, schema.score, rows, replace=("value", "weight"))


def _replace(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows in place of those with the same id; what is old keeps its time."""
    columns = tuple(name for name in table.c.keys() if name not in ("id", "created_utc"))  # noqa: SIM118
    insert_rows(connection, table, rows, replace=columns)


def _row(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict) | {"value": null_if_nan(verdict.value)}


def _verdict(row: Any) -> Verdict:
    return Verdict(**row._asdict() | {"value": nan_if_null(row.value)})
