"""Facts from other tools' files, many and in one transaction: all of a file, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from evalcore.codec import to_json
from evalcore.environment import code_version
from evalcore.exchange.records import VOTE_COLUMNS, Parcel, SourceFile
from evalcore.records import EvalRun, utc_now
from evalcore.store import judge_schema, schema
from evalcore.store.bulk import insert_columns
from evalcore.store.database import Database, insert_rows, null_if_nan
from evalcore.store.runs import RUN_REPLACES, run_row

__all__ = ["Intake", "Sources"]

_AT_ONCE = 1 << 17
_CACHE_KIB = 262_144
_GENERATION = (
    *("fingerprint", "request_key", "example_id", "params", "text", "finish_reason"),
    *("prompt_tokens", "completion_tokens", "duration_s", "created_utc", "previous_key"),
    *("first_token_logprobs", "cost_usd"),
)
_VERDICT = tuple(judge_schema.verdict.c.keys())
_SCORE = ("task_hash", "metric", "fingerprint", "example_id", "value", "weight")
_comparison = attrgetter(*VOTE_COLUMNS)
_answer = attrgetter(*_GENERATION)
_PARAMS, _LOGPROBS = map(_GENERATION.index, ("params", "first_token_logprobs"))
_params_json = lru_cache(maxsize=1024)(to_json)

Row = tuple[Any, ...]


class Intake:
    """Takes parcels of records into one open transaction; what is there already stays."""

    def __init__(self, connection: Connection, sources: Mapping[Path, int]) -> None:
        self._connection = connection
        self._sources = sources
        self.n_new: Counter[str] = Counter()
        """Records that were not there before, by table."""
        self.n_read: Counter[str] = Counter()
        """Records that came, by table."""

    def add(self, parcel: Parcel) -> None:
        """Write a parcel's records."""
        source = None if parcel.source is None else self._sources[parcel.source]
        now = utc_now()
        self._rows(
            schema.model,
            ("fingerprint", "spec", "created_utc"),
            ((spec.fingerprint, to_json(asdict(spec)), now) for spec in parcel.models),
        )
        for task in parcel.tasks:
            self._rows(
                schema.task,
                ("task_hash", "name", "settings", "created_utc"),
                [(task.hash, task.name, to_json(task.settings), now)],
            )
            self._examples(task.examples)
            self._rows(
                schema.task_example,
                ("task_hash", "position", "example_id"),
                ((task.hash, place, example.id) for place, example in enumerate(task.examples)),
            )
        self._examples(parcel.examples)
        self._rows(
            schema.generation,
            (*_GENERATION, "source_id"),
            ((*_generation(answer), source) for answer in parcel.answers),
        )
        self._rows(judge_schema.verdict, _VERDICT, map(_verdict, parcel.verdicts))
        votes = (*VOTE_COLUMNS, "source_id")
        self._rows(
            schema.comparison, votes, ((*_comparison(item), source) for item in parcel.comparisons)
        )
        if parcel.votes:
            self._votes(parcel.votes, source)
        self._rows(schema.score, _SCORE, map(_score, parcel.scores))
        for run in parcel.runs:
            self._run(run)

    def _examples(self, examples: Iterable[Any]) -> None:
        self._rows(
            schema.example, ("id", "content"), ((item.id, to_json(item)) for item in examples)
        )

    def _votes(self, votes: Mapping[str, Any], source: int | None) -> None:
        columns = {**votes, "source_id": source}
        name = schema.comparison.name
        self.n_new[name] += insert_columns(self._connection, schema.comparison, columns)
        self.n_read[name] += len(votes["id"])

    def _rows(self, table: sa.Table, names: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows past SQLAlchemy's own treatment of values, which takes most of the time."""
        rows = iter(rows)
        while some := list(islice(rows, _AT_ONCE)):
            statement = _statement(self._connection, table, names)
            done = self._connection.exec_driver_sql(statement, some)
            self.n_new[table.name] += max(done.rowcount, 0)
            self.n_read[table.name] += len(some)

    def _run(self, run: EvalRun) -> None:
        """Put a run in place of an earlier one of the same work, unless it says the same."""
        self.n_read[schema.eval_run.name] += 1
        row = run_row(run)
        query = sa.select(schema.eval_run.c.record).where(schema.eval_run.c.run_id == run.run_id)
        before = self._connection.scalar(query)
        if before is not None and _what_it_says(before) == _what_it_says(row["record"]):
            return
        insert_rows(self._connection, schema.eval_run, [row], replace=RUN_REPLACES)
        self.n_new[schema.eval_run.name] += 1


class Sources(Database):
    """Where facts came from, and taking in more of them."""

    @contextmanager
    def intake(self, files: Sequence[SourceFile]) -> Iterator[Intake]:
        """Open a transaction for the records of some files; an exception undoes all of it."""
        with self._writing() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
            yield Intake(connection, {file.path: _source_id(connection, file) for file in files})

    def sources(self) -> list[Mapping[str, Any]]:
        """All files that facts were taken from, oldest first."""
        query = schema.imported_file.select().order_by(schema.imported_file.c.id)
        with self._reading() as connection:
            return [row._asdict() for row in connection.execute(query)]


def _source_id(connection: Connection, file: SourceFile) -> int:
    """Remember a file; the same bytes read as the same format are the same file."""
    columns = schema.imported_file.c
    query = sa.select(columns.id).where(
        columns.sha256 == file.sha256, columns.format == file.format
    )
    known = connection.scalar(query)
    if known is not None:
        return int(known)
    done = connection.execute(
        schema.imported_file.insert().values(
            sha256=file.sha256,
            format=file.format,
            path=str(file.path),
            n_bytes=file.n_bytes,
            imported_utc=utc_now(),
            code_version=code_version(),
        )
    )
    return int(done.inserted_primary_key[0])  # type: ignore[index]


def _statement(connection: Connection, table: sa.Table, names: Sequence[str]) -> str:
    """Write the insert with places for values as the driver wants them."""
    if connection.dialect.name == "postgresql":
        statement: Any = postgresql.insert(table)
        dialect: Any = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    else:
        statement, dialect = sqlite.insert(table), sqlite.dialect(paramstyle="qmark")
    statement = statement.on_conflict_do_nothing(index_elements=list(table.primary_key.columns))
    return str(statement.compile(dialect=dialect, column_keys=list(names)))


def _generation(answer: Any) -> Row:
    values = list(_answer(answer))
    values[_PARAMS] = _params_json(answer.params)
    if answer.first_token_logprobs is not None:
        values[_LOGPROBS] = to_json(answer.first_token_logprobs)
    return tuple(values)


def _verdict(verdict: Any) -> Row:
    values = {name: getattr(verdict, name) for name in _VERDICT}
    return tuple(
        (values | {"value": null_if_nan(verdict.value), "parts": to_json(verdict.parts)}).values()
    )


def _score(score: Any) -> Row:
    values = {name: getattr(score, name) for name in _SCORE}
    return tuple((values | {"value": null_if_nan(score.value)}).values())


def _what_it_says(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a run's record but for when it was taken over, and by which version."""
    passing = ("created_utc", "code_version")
    return {key: value for key, value in record.items() if key not in passing}
