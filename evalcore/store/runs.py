"""Runs, and the head of each: what a leaderboard wants of it, without reading its whole record.

The head is a part of the record, written in the same statement. A trigger takes it away from a
record that is changed without it; it is then made from the record again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from evalcore.codec import jsonable, run_from, spec_from
from evalcore.garbage import uncollected
from evalcore.hashing import content_hash
from evalcore.recorded import Recorded
from evalcore.records import Efficiency, Estimate, EvalRun, ModelSpec
from evalcore.store import schema
from evalcore.store.database import Database, driver_rows, insert_rows, nan_if_null

__all__ = ["RUN_REPLACES", "RunHead", "Runs", "run_row"]

RUN_REPLACES = ("record", "head", "created_utc")
"""What a run of the same work replaces."""

_HEAD_VERSION = 3
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
        """Return all runs, oldest first; see :attr:`RunHead.run`."""
        return [head.run for head in self.run_heads()]

    def run_heads(self) -> list[RunHead]:
        """Return the heads of all runs, oldest first."""
        columns = schema.eval_run.c
        names = (*_Row._fields[:-1], sa.cast(columns.record, sa.Text))
        query = sa.select(*(columns[name] if isinstance(name, str) else name for name in names))
        known: dict[str, RunHead] = self._same("runs", None, dict)
        with self._reading() as connection, uncollected():
            by_id = sorted(driver_rows(connection, query), key=itemgetter(0))
            rows = sorted(by_id, key=itemgetter(_CREATED))
            new = [row for row in rows if row[0] not in known or known[row[0]].row != row]
            headless = [_Row(*row) for row in new if not _is_head(row[_HEAD])]
            made = {row.run_id: _head(json.loads(row.record)) for row in headless}
            specs: dict[str, ModelSpec] = {}
            texts = [made.get(row[0]) or row[_HEAD] for row in new]
            heads = json.loads(f"[{','.join(texts)}]")
            known |= {
                row[0]: RunHead(row, head, specs) for row, head in zip(new, heads, strict=True)
            }
        if headless:
            self._write_heads(headless, made)
        return [known[row[0]] for row in rows]

    def _write_heads(self, rows: Sequence[_Row], heads: Mapping[str, str]) -> None:
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
                [{"of": row.run_id, "says": row.record, "new": heads[row.run_id]} for row in rows],
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
    created_utc: str
    head: str | None
    record: str


_CREATED = _Row._fields.index("created_utc")
_HEAD = _Row._fields.index("head")


class _Told(NamedTuple):
    """The beginning of a head; its estimate, its work and its warnings follow, all in one list.

    A list for each would be three times as many for Python to make and to look after.
    """

    version: int
    spec: str
    metric: str
    higher_is_better: bool
    n_examples: int
    code_version: str


_N_TOLD = len(_Told._fields)
_METRIC = _Told._fields.index("metric")
_HIGHER = _Told._fields.index("higher_is_better")
_VALUE = _N_TOLD + _ESTIMATE.index("value")
_N_UNSCORED = _N_TOLD + _ESTIMATE.index("n_unscored")
_WORK = _N_TOLD + len(_ESTIMATE)
_WARNINGS = _WORK + len(_EFFICIENCY)


def _head(record: Mapping[str, Any]) -> str:
    metric = record["primary_metric"]
    told = _Told(
        version=_HEAD_VERSION,
        spec=content_hash(record["spec"]),
        metric=metric,
        higher_is_better=record["higher_is_better"][metric],
        n_examples=record["n_examples"],
        code_version=record["code_version"],
    )
    parts = [
        *told,
        *(record["estimates"][metric][name] for name in _ESTIMATE),
        *(record["efficiency"].get(name) for name in _EFFICIENCY),
        *record["warnings"],
    ]
    return json.dumps(parts, ensure_ascii=False, allow_nan=False)


def _is_head(text: str | None) -> bool:
    return text is not None and text.startswith(f"[{_HEAD_VERSION},")


class RunHead:
    """What a leaderboard wants of a run; the run itself is made when somebody asks for it.

    Of ten thousand runs a reader looks at a few; making all of them takes longer than all that a
    leaderboard does with their numbers.

    Parameters
    ----------
    row
        What the database has of the run: the fields of a row, in their order.
    head
        The row's head, decoded.
    specs
        What was read of models already, by the spec's hash: runs of one variant share it.
    """

    __slots__ = (
        *("_head", "_run", "_specs", "row"),
        *("created_utc", "fingerprint", "task", "task_hash", "value"),
    )
    created_utc: str
    fingerprint: str
    task: str
    task_hash: str

    def __init__(
        self, row: Sequence[Any], head: Sequence[Any], specs: dict[str, ModelSpec]
    ) -> None:
        self.row = row
        _id, self.fingerprint, self.task, self.task_hash, self.created_utc, _head, _record = row
        self.value = nan_if_null(head[_VALUE])
        """Of the primary metric; nan = could not be estimated."""
        self._head = head
        self._specs = specs
        self._run: EvalRun | None = None

    @property
    def metric(self) -> str:
        """The primary metric."""
        found: str = self._head[_METRIC]
        return found

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the primary metric is better."""
        found: bool = self._head[_HIGHER]
        return found

    @property
    def estimate(self) -> Estimate:
        """Of the primary metric."""
        return _estimate(*self._head[_N_TOLD:_WORK])

    @property
    def n_unscored(self) -> int:
        """Examples that the primary metric's value leaves out."""
        found: int = self._head[_N_UNSCORED]
        return found

    @property
    def work(self) -> Sequence[Any]:
        """The fields of its :class:`~evalcore.records.Efficiency`."""
        return self._head[_WORK:_WARNINGS]

    @property
    def warnings(self) -> Sequence[str]:
        """What a reader has to know."""
        return self._head[_WARNINGS:]

    @property
    def run(self) -> EvalRun:
        """The run, whose primary metric and work are at hand.

        Its other estimates, settings and environment are read from its record when somebody asks
        for them.
        """
        if self._run is None:
            self._run = self._made()
        return self._run

    def with_estimate(self, estimate: Estimate, *, n_examples: int) -> RunHead:
        """Return the same with another estimate of its primary metric, and of no other."""
        told = _Told(*self._head[:_N_TOLD])._replace(n_examples=n_examples)
        fields = (getattr(estimate, name) for name in _ESTIMATE)
        head = [*told, *fields, *self._head[_WORK:]]
        found = RunHead(self.row, head, self._specs)
        found._run = replace(self.run, estimates={self.metric: estimate}, n_examples=n_examples)
        return found

    @property
    def _whole_row(self) -> _Row:
        return _Row(*self.row)

    def _made(self) -> EvalRun:
        told = _Told(*self._head[:_N_TOLD])
        if told.spec not in self._specs:
            self._specs[told.spec] = spec_from(json.loads(self._whole_row.record)["spec"])
        part = _Record(self._whole_row).part
        return EvalRun(
            run_id=self._whole_row.run_id,
            spec=self._specs[told.spec],
            task=self.task,
            task_hash=self.task_hash,
            primary_metric=told.metric,
            higher_is_better=Recorded(
                {told.metric: told.higher_is_better}, part, "higher_is_better"
            ),
            params=Recorded(_NOTHING, part, "params"),
            estimates=Recorded({told.metric: self.estimate}, part, "estimates"),
            efficiency=Efficiency(**dict(zip(_EFFICIENCY, self.work, strict=True))),
            n_examples=told.n_examples,
            created_utc=self.created_utc,
            code_version=told.code_version,
            environment=Recorded(_NOTHING, part, "environment"),
            warnings=tuple(self.warnings),
        )


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


def _estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    level: float,
    method: str,
    n: int,
    n_unscored: int,
) -> Estimate:
    """Make an estimate of its fields in their order."""
    return Estimate(
        value=nan_if_null(value),
        low=nan_if_null(low),
        high=nan_if_null(high),
        confidence_level=level,
        method=method,
        n=n,
        n_unscored=n_unscored,
    )
