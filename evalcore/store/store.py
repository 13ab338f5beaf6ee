"""Reading and writing the workspace's facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from evalcore.codec import example_from, jsonable, spec_from
from evalcore.protocols import ExampleSet
from evalcore.records import (
    Comparison,
    Example,
    ModelSpec,
    RaterKind,
    Score,
    utc_now,
)
from evalcore.store import schema
from evalcore.store.ballots import Ballots
from evalcore.store.board import Boards
from evalcore.store.claims import Claims
from evalcore.store.database import (
    KEYS_PER_QUERY,
    insert_rows,
    nan_if_null,
    null_if_nan,
    without_source,
)
from evalcore.store.intake import Sources
from evalcore.store.responses import Answered, Responses
from evalcore.store.runs import Runs
from evalcore.store.score_tables import ScoreTable, ScoreTables
from evalcore.store.studies import Studies
from evalcore.store.study_facts import StudyFacts
from evalcore.store.verdicts import Verdicts

__all__ = ["VOTE_FIELDS", "Answered", "ScoreTable", "Store"]

VOTE_FIELDS = (
    *("id", "example_id", "model_a", "model_b", "winner", "rater", "rater_kind", "swapped"),
    *("created_utc", "explanation"),
)
"""What a vote file has, in its order."""
_VOTES_AT_ONCE = 500
_SORT_KIB = 65_536


class Store(
    Responses, Runs, Ballots, Boards, ScoreTables, Sources, StudyFacts, Claims, Studies, Verdicts
):
    """A workspace's database.

    Facts are inserted once: the same key again changes nothing, so that an interrupted command can
    be repeated and two processes can share the work. Each method is one transaction.
    """

    # models, tasks and examples

    def add_model(self, spec: ModelSpec) -> None:
        """Remember a variant; its name follows the latest call."""
        row = {"fingerprint": spec.fingerprint, "spec": asdict(spec), "created_utc": utc_now()}
        with self._writing() as connection:
            insert_rows(connection, schema.model, [row], replace=("spec",))

    def models(self) -> dict[str, ModelSpec]:
        """All variants by fingerprint."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(schema.model.c.fingerprint, schema.model.c.spec))
            return {fingerprint: spec_from(spec) for fingerprint, spec in rows}

    def add_task(self, task: ExampleSet) -> None:
        """Remember a task's settings and its examples in order, unless they are there."""
        columns = schema.task_example.c
        count = sa.select(sa.func.count()).where(columns.task_hash == task.hash)
        with self._reading() as connection:
            if connection.scalar(count) == len(task.examples) > 0:
                return  # all of it is one transaction
        settings = jsonable(task.settings)
        head = {"task_hash": task.hash, "name": task.name, "settings": settings}
        places = [
            {"task_hash": task.hash, "position": position, "example_id": example.id}
            for position, example in enumerate(task.examples)
        ]
        with self._writing() as connection:
            insert_rows(connection, schema.task, [{**head, "created_utc": utc_now()}])
            insert_rows(connection, schema.example, _example_rows(task.examples))
            insert_rows(connection, schema.task_example, places)

    def add_examples(self, examples: Sequence[Example]) -> None:
        """Remember examples that belong to no task, such as a prompt set's."""
        with self._writing() as connection:
            insert_rows(connection, schema.example, _example_rows(examples))

    def examples(self, task_hash: str) -> list[Example]:
        """Return a task's examples, in order."""
        place, example = schema.task_example.c, schema.example.c
        query = (
            sa.select(example.content)
            .join_from(schema.task_example, schema.example, place.example_id == example.id)
            .where(place.task_hash == task_hash)
            .order_by(place.position)
        )
        with self._reading() as connection:
            return [example_from(content) for content in connection.scalars(query)]

    def examples_by_id(self, example_ids: Sequence[str]) -> dict[str, Example]:
        """Return examples by id, those that are known."""
        columns = schema.example.c
        found: dict[str, Example] = {}
        with self._reading() as connection:
            for start in range(0, len(example_ids), KEYS_PER_QUERY):
                some = example_ids[start : start + KEYS_PER_QUERY]
                query = sa.select(columns.id, columns.content).where(columns.id.in_(some))
                found |= {key: example_from(content) for key, content in connection.execute(query)}
        return found

    # scores and runs

    def add_scores(self, scores: Iterable[Score]) -> None:
        """Store scores; those that are there already stay as they are."""
        rows = [
            {
                "task_hash": score.task_hash,
                "metric": score.metric,
                "fingerprint": score.fingerprint,
                "example_id": score.example_id,
                "value": null_if_nan(score.value),
                "weight": score.weight,
            }
            for score in scores
        ]
        with self._writing() as connection:
            insert_rows(connection, schema.score, rows)

    def scores(self, fingerprint: str, task_hash: str) -> list[Score]:
        """Return a model's scores on a task, by metric and in the task's order."""
        score, place = schema.score.c, schema.task_example.c
        same = (score.task_hash == place.task_hash) & (score.example_id == place.example_id)
        query = (
            sa.select(schema.score)
            .join_from(schema.score, schema.task_example, same)
            .where(score.fingerprint == fingerprint, score.task_hash == task_hash)
            .order_by(score.metric, place.position)
        )
        with self._reading() as connection:
            return [
                Score(**row._asdict() | {"value": nan_if_null(row.value)})
                for row in connection.execute(query)
            ]

    def save_quant_report(self, report_id: str, record: Mapping[str, Any]) -> None:
        """Store what a quantisation lab found, replacing an earlier finding of the same id."""
        row = {"id": report_id, "record": dict(record), "created_utc": utc_now()}
        with self._writing() as connection:
            insert_rows(connection, schema.quant_report, [row], replace=("record", "created_utc"))

    def quant_reports(self) -> list[dict[str, Any]]:
        """All findings of quantisation labs as plain JSON, oldest first."""
        columns = schema.quant_report.c
        query = sa.select(columns.record).order_by(columns.created_utc, columns.id)
        with self._reading() as connection:
            return list(connection.scalars(query))

    # comparisons

    def add_comparisons(self, comparisons: Iterable[Comparison]) -> None:
        """Store votes and verdicts; an id that is there already stays as it is."""
        with self._writing() as connection:
            insert_rows(connection, schema.comparison, [asdict(item) for item in comparisons])

    def comparisons(
        self, *, kinds: Sequence[RaterKind] = ("human", "judge", "rule")
    ) -> Iterator[Comparison]:
        """Yield stored votes and verdicts, oldest first; simulated ones only if asked for."""
        for comparison, _ in self.comparisons_with_source(kinds=kinds):
            yield comparison

    def comparisons_with_source(
        self, *, kinds: Sequence[RaterKind]
    ) -> Iterator[tuple[Comparison, int | None]]:
        """Yield the same, each with the id of the file that it was taken from; None = made here."""
        columns = schema.comparison.c
        query = (
            schema.comparison.select()
            .where(columns.rater_kind.in_(kinds))
            .order_by(columns.created_utc, columns.id)
        )
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield Comparison(**without_source(row)), row.source_id

    def vote_columns(self, *, kinds: Sequence[RaterKind]) -> Iterator[list[Sequence[Any]]]:
        """Yield the columns of :data:`VOTE_FIELDS` and the source, oldest first.

        They come 500 rows at a time, without the cost of a record for each: so few that Python's
        search for cyclic garbage, which wants a fifth of the time of 10,000, hardly begins.
        """
        columns = schema.comparison.c
        flag = VOTE_FIELDS.index("swapped")
        # SQLAlchemy's own reading of a flag, row by row, takes as long as all other values.
        values = [columns[name] for name in VOTE_FIELDS if name != "swapped"]
        values.insert(flag, sa.type_coerce(columns.swapped, sa.Integer))  # type: ignore[arg-type]
        query = (
            sa.select(*values, columns.source_id)
            .where(columns.rater_kind.in_(kinds))
            .order_by(columns.created_utc, columns.id)
        )
        with self._reading() as connection:
            if connection.dialect.name == "sqlite":  # which never sends more than is asked for
                connection.exec_driver_sql(f"PRAGMA cache_size = -{_SORT_KIB}")
            else:
                connection = connection.execution_options(stream_results=True)
            for some in connection.execute(query).partitions(_VOTES_AT_ONCE):
                found: list[Sequence[Any]] = list(zip(*some, strict=True))
                found[flag] = list(map(bool, found[flag]))
                yield found


def _example_rows(examples: Sequence[Example]) -> list[dict[str, Any]]:
    return [{"id": example.id, "content": jsonable(example)} for example in examples]
