"""Runs, and the head of each: what a leaderboard wants of it, without reading its whole record.

The head is a part of the record, written in the same statement. A trigger takes it away from a
record that is changed without it; it is then made from the record again.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from evalcore.codec import jsonable, run_from
from evalcore.hashing import content_hash
from evalcore.recorded import Recorded
from evalcore.records import Efficiency, Estimate, EvalRun, ModelSpec
from evalcore.store import schema
from evalcore.store.database import Database, driver_rows, insert_rows, nan_if_null

__all__ = ["RUN_REPLACES", "Runs", "run_row"]

RUN_REPLACES = ("record", "head", "created_utc")
"""What a run of the same work replaces."""

_HEAD_VERSION = 1
_ESTIMATE = tuple(field.name for field in fields(Estimate))
_NOTHING: Mapping[str, Any] = {}
_EFFICIENCY = tuple(field.name for field in fields(Efficiency))


class Runs(Database):
    """Writing and reading runs."""

    def save_run(self, run: EvalRun) -> None:
        """Store a run's summary, replacing an earlier one of the same work."""
        with self._writing() as connection:
            insert_rows(connection, schema.eval_run, [run_row(run)], replace=RUN_REPLACES)

    def runs(self) -> list[EvalRun]:
        """Return all runs, oldest first.

        Of each the primary metric and the work are at hand; its other estimates, settings and
        environment are read from its record when somebody asks for them.
        """
        columns = schema.eval_run.c
        names = (*_Row._fields[:-1], sa.cast(columns.record, sa.Text))
        query = sa.select(
            *(columns[name] if isinstance(name, str) else name for name in names)
        ).order_by(columns.created_utc, columns.run_id)
        known: dict[str, tuple[_Row, EvalRun]] = self._same("runs", None, dict)
        with self._reading() as connection, _uncollected():
            rows = list(map(_Row._make, driver_rows(connection, query)))
            new = [row for row in rows if row.run_id not in known or known[row.run_id][0] != row]
            headless = {row.run_id: row for row in new if not _is_head(row.head)}
            heads = json.loads(f"[{','.join(str(row.head or 'null') for row in new)}]")
            specs: dict[str, ModelSpec] = {}
            for row, head in zip(new, heads, strict=True):
                run = _whole(row) if row.run_id in headless else _run(row, head, specs)
                known[row.run_id] = row, run
        if headless:
            self._write_heads(list(headless.values()))
        return [known[row.run_id][1] for row in rows]

    def _write_heads(self, rows: list[_Row]) -> None:
        """Give records the heads that they lack, unless they have become others."""
        columns = schema.eval_run.c
        text = sa.cast(columns.record, sa.Text)
        change = (
            schema.eval_run.update()
            .where(columns.run_id == sa.bindparam("of"), text == sa.bindparam("says"))
            .values(head=sa.bindparam("new"))
        )
        with self._caching() as connection:
            connection.execute(
                change,
                [
                    {"of": row.run_id, "says": row.record, "new": _head(json.loads(row.record))}
                    for row in rows
                ],
            )


def run_row(run: EvalRun) -> dict[str, Any]:
    """Return what the database keeps of a run."""
    record = jsonable(run)
    return {
        "run_id": run.run_id,
        "fingerprint": run.spec.fingerprint,
        "task_hash": run.task_hash,
        "task": run.task,
        "record": record,
        "head": _head(record),
        "created_utc": run.created_utc,
    }


class _Row(NamedTuple):
    run_id: str
    fingerprint: str
    task: str
    task_hash: str
    head: str | None
    record: str


def _head(record: Mapping[str, Any]) -> str:
    metric = record["primary_metric"]
    parts = [
        _HEAD_VERSION,
        content_hash(record["spec"]),
        metric,
        record["higher_is_better"][metric],
        [record["estimates"][metric][name] for name in _ESTIMATE],
        [record["efficiency"].get(name) for name in _EFFICIENCY],
        record["n_examples"],
        record["created_utc"],
        record["code_version"],
        record["warnings"],
    ]
    return json.dumps(parts, ensure_ascii=False, allow_nan=False)


def _is_head(text: str | None) -> bool:
    return text is not None and text.startswith(f"[{_HEAD_VERSION},")


class _Record:
    """A run's record, read when somebody asks for what its head does not say."""

    __slots__ = ("_row", "_run")

    def __init__(self, row: _Row) -> None:
        self._row = row
        self._run: EvalRun | None = None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return one of the run's mappings."""
        if self._run is None:
            self._run = _whole(self._row)
        found: Mapping[str, Any] = getattr(self._run, name)
        return found


def _whole(row: _Row) -> EvalRun:
    return run_from(json.loads(row.record))


def _run(row: _Row, head: Sequence[Any], specs: dict[str, ModelSpec]) -> EvalRun:
    """Make a run of its head; runs of one variant share its spec."""
    _version, told, metric, higher, estimate, work, n_examples, created, code, warnings = head
    if told not in specs:
        specs[told] = _whole(row).spec
    value, low, high, level, method, n, n_unscored = estimate
    primary = Estimate(
        value=nan_if_null(value),
        low=nan_if_null(low),
        high=nan_if_null(high),
        confidence_level=level,
        method=method,
        n=n,
        n_unscored=n_unscored,
    )
    part = _Record(row).part
    return EvalRun(
        run_id=row.run_id,
        spec=specs[told],
        task=row.task,
        task_hash=row.task_hash,
        primary_metric=metric,
        higher_is_better=Recorded({metric: higher}, part, "higher_is_better"),
        params=Recorded(_NOTHING, part, "params"),
        estimates=Recorded({metric: primary}, part, "estimates"),
        efficiency=Efficiency(**dict(zip(_EFFICIENCY, work, strict=True))),
        n_examples=n_examples,
        created_utc=created,
        code_version=code,
        environment=Recorded(_NOTHING, part, "environment"),
        warnings=tuple(warnings),
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Make many objects, all of which stay: looking for garbage among them takes longer."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
