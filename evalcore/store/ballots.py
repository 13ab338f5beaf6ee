"""Votes and verdicts as columns, read quickly however many there are.

On SQLite the columns are kept beside the rows they are made of, in ``vote_cache``: a read takes
what is kept and the rows that came after it. Triggers drop what a changed or deleted row makes
stale, so that a read never differs from one of all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from evalcore.errors import VotesError
from evalcore.records import RaterKind
from evalcore.store import board_schema, schema
from evalcore.store.database import Database, fixed
from evalcore.votes.columns import WINNERS, Categories, Votes, code_dtype

__all__ = ["Ballots"]

_NAMES = ("model_a", "model_b", "winner", "rater", "rater_kind", "example_id", "created_utc")
_COLUMNS = (*_NAMES, "swapped")
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.dictionary(pa.int32(), pa.string())) for name in _NAMES),
        pa.field("swapped", pa.bool_()),
    ]
)
_AT_ONCE = 1 << 16
_KEPT_FROM = 20_000
"""So many new rows are read in less time than it takes to write all columns anew."""


class Ballots(Database):
    """Reading votes by the million."""

    def vote_table(self) -> pa.Table:
        """Return every vote and verdict, in no particular order.

        Returns
        -------
        pyarrow.Table
            The columns of a vote file but ``id``; names and times as dictionaries.
        """
        is_kept = self.engine.dialect.name == "sqlite"
        with self._reading() as connection:
            n_changes = _n_changes(connection) if is_kept else 0
            last_row, kept = _kept(connection) if is_kept else (0, None)
            newest, added = _rows_after(connection, last_row, is_numbered=is_kept)
        if added is None:
            # its own empty_table makes arrays, for which pyarrow loads pandas
            return pa.Table.from_batches([], _SCHEMA) if kept is None else kept
        table = added if kept is None else pa.concat_tables([kept, added]).unify_dictionaries()
        if is_kept and added.num_rows >= _KEPT_FROM:
            self._keep_votes(table.combine_chunks(), *newest, n_changes=n_changes)
        return table

    def votes(self, *, kinds: Sequence[RaterKind] = ("human", "judge", "rule")) -> Votes | None:
        """Return votes and verdicts as columns; simulated ones only if asked for.

        Models go by what the rows name them by: a fingerprint, or a name. None without a vote.
        Nobody may write to the arrays: as long as no vote is added or changed, all get the same.
        """
        wanted = tuple(kinds)
        if self.engine.dialect.name != "sqlite":
            return self._votes(wanted)
        with self._reading() as connection:
            state = _state(connection)
        return self._same(("votes", wanted), state, lambda: self._votes(wanted))

    def _votes(self, kinds: Sequence[RaterKind]) -> Votes | None:
        table = self.vote_table()
        kind = table.column("rater_kind")
        if table.num_rows:
            table = table.filter(pc.is_in(kind.cast(pa.string()), pa.array(list(kinds))))
        if not table.num_rows:
            return None
        return _votes(table.combine_chunks(), source=self.where)

    def judge_prompts(self) -> dict[str, list[str]]:
        """Return the versions of the prompts that judges and rules were told, by rater."""
        columns = schema.comparison.c
        query = (
            sa.select(columns.rater, columns.judge_prompt_version)
            .where(columns.judge_prompt_version.is_not(None))
            .distinct()
            .order_by(columns.rater, columns.judge_prompt_version)
        )
        found: dict[str, list[str]] = {}
        with self._reading() as connection:
            for rater, version in connection.execute(query):
                found.setdefault(rater, []).append(version)
        return found

    def _keep_votes(self, table: pa.Table, last_row: int, last_id: str, *, n_changes: int) -> None:
        """Write the columns, unless a row was changed or deleted since they were read."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, _SCHEMA) as writer:
            writer.write_table(table)
        row = {"id": 1, "last_row": last_row, "last_id": last_id}
        cache = board_schema.vote_cache
        with self._caching() as connection:
            if _n_changes(connection) == n_changes:
                connection.execute(cache.delete())
                connection.execute(
                    cache.insert(), [row | {"content": sink.getvalue().to_pybytes()}]
                )


def _votes(table: pa.Table, *, source: str) -> Votes:
    """Make columns of codes; what the table's dictionaries name twice or not at all is mended."""
    columns = {name: table.column(name).chunk(0) for name in _COLUMNS}
    first, second = (_categories(columns[side]) for side in ("model_a", "model_b"))
    models = tuple(sorted({*first.names, *second.names}))
    place = {name: code for code, name in enumerate(models)}
    dtype = code_dtype(len(models))
    sides = [
        np.array([place[name] for name in side.names], dtype)[side.codes]
        for side in (first, second)
    ]
    said = _categories(columns["winner"])
    unknown = sorted(set(said.names) - set(WINNERS))
    if unknown:
        permitted = ", ".join(WINNERS)
        raise VotesError(f"winner must be one of {permitted}; got {unknown[0]!r} ({source})")
    if (same := np.flatnonzero(sides[0] == sides[1])).size:
        name = models[sides[0][same[0]]]
        raise VotesError(f"model_a and model_b must differ; got {name!r} twice ({source})")
    winner = np.array([WINNERS.index(name) for name in said.names], np.uint8)
    return Votes(
        models=models,
        model_a=fixed(sides[0]),
        model_b=fixed(sides[1]),
        winner=fixed(winner[said.codes]),
        rater=_categories(columns["rater"]),
        example=_categories(columns["example_id"]),
        rater_kind=_categories(columns["rater_kind"]),
        created_s=_seconds(columns["created_utc"]),
        swapped=fixed(columns["swapped"].cast(pa.int8()).to_numpy(zero_copy_only=False)),
        source=source,
    )


def _categories(values: pa.DictionaryArray) -> Categories:
    """Give the names in use, sorted, their codes."""
    codes = values.indices.to_numpy(zero_copy_only=False)
    names = np.array(values.dictionary.to_pylist(), dtype=object)
    used = np.flatnonzero(np.bincount(codes, minlength=len(names)))
    order = used[np.argsort(names[used])]
    place = np.zeros(len(names), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    return Categories(codes=fixed(place[codes]), names=tuple(names[order]))


def _seconds(values: pa.DictionaryArray) -> NDArray[np.float64]:
    """Seconds since 1970; nan where a time can't be read."""
    times = pc.strptime(
        values.dictionary, format="%Y-%m-%dT%H:%M:%SZ", unit="s", error_is_null=True
    )
    seconds = times.cast(pa.int64()).cast(pa.float64()).fill_null(float("nan"))
    found = seconds.to_numpy(zero_copy_only=False)
    return fixed(np.asarray(found[values.indices.to_numpy(zero_copy_only=False)]))


def _state(connection: Connection) -> tuple[object, ...]:
    """Return what differs once a vote is added, changed or deleted."""
    last = sa.select(sa.literal_column("rowid"), schema.comparison.c.id)
    row = connection.execute(last.order_by(sa.text("rowid DESC")).limit(1)).first()
    return (_n_changes(connection), *(row or ()))


def _n_changes(connection: Connection) -> int:
    counts = board_schema.change_count
    return int(connection.scalar(sa.select(counts.c.n).where(counts.c.name == "comparison")) or 0)


def _kept(connection: Connection) -> tuple[int, pa.Table | None]:
    """Return what is kept and the row that it goes up to.

    SQLite's VACUUM may number the rows anew, where some were deleted. Then the row of that number
    is another one, and everything is read again.
    """
    row = connection.execute(board_schema.vote_cache.select()).first()
    if row is None:
        return 0, None
    found = connection.execute(
        sa.select(schema.comparison.c.id).where(sa.text("rowid = :row")), {"row": row.last_row}
    ).scalar()
    if found != row.last_id:
        return 0, None
    with pa.ipc.open_stream(pa.py_buffer(row.content)) as stream:
        return row.last_row, stream.read_all()


def _rows_after(
    connection: Connection, last_row: int, *, is_numbered: bool
) -> tuple[tuple[int, str], pa.Table | None]:
    """Read the rows after one, with the number and id of the last; None for no rows."""
    number: sa.ColumnElement[int] = (
        sa.literal_column("rowid") if is_numbered else sa.literal_column("0")
    )
    columns = [schema.comparison.c[name] for name in _COLUMNS]
    query = sa.select(*columns, schema.comparison.c.id, number)
    batches: Iterable[Sequence[Any]]
    if is_numbered:
        query = query.where(sa.text("rowid > :row")).order_by(sa.text("rowid"))
        batches = _driver_rows(connection, query, {"row": last_row})
    else:
        batches = connection.execution_options(yield_per=_AT_ONCE).execute(query).partitions()
    newest, parts = (0, ""), []
    for rows in batches:
        newest = rows[-1][-1], rows[-1][-2]
        parts.append(_table(rows))
    if not parts:
        return newest, None
    return newest, pa.concat_tables(parts).unify_dictionaries()


def _driver_rows(
    connection: Connection, query: sa.Select[Any], given: dict[str, Any]
) -> Iterator[Sequence[Any]]:
    """Yield rows as SQLite's driver has them: SQLAlchemy's would double the time of a million."""
    cursor = connection.execute(query, given).cursor
    while cursor is not None and (rows := cursor.fetchmany(_AT_ONCE)):
        yield rows


def _table(rows: Sequence[Any]) -> pa.Table:
    *names, swapped, _ids, _numbers = zip(*rows, strict=True)
    arrays = [pa.array(values, pa.string()).dictionary_encode() for values in names]
    sides = [None if side is None else bool(side) for side in swapped]  # SQLite's are numbers
    return pa.Table.from_arrays([*arrays, pa.array(sides, pa.bool_())], schema=_SCHEMA)
