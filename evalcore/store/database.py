"""A database and its transactions, on which each kind of fact has its methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self, TypeVar, cast

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from evalcore.errors import WorkspaceError
from evalcore.store.opening import explained

__all__ = [
    "KEYS_PER_QUERY",
    "Database",
    "driver_rows",
    "fixed",
    "insert_new",
    "insert_rows",
    "nan_if_null",
    "null_if_nan",
]

KEYS_PER_QUERY = 500
"""Most keys that one query asks for."""
_MOST_REMEMBERED = 1024
_ROWS_AT_ONCE = 1 << 16

Made = TypeVar("Made")
Kind = TypeVar("Kind", bound=np.generic)


class Database:
    """An open database.

    Raises
    ------
    WorkspaceError
        From every method, if the database can't be read or written, such as on a full disk.
    """

    def __init__(self, engine: Engine, *, where: str) -> None:
        self._engine = engine
        self.where = where
        """Folder or URL, for messages."""
        self._remembered: dict[Hashable, tuple[object, Any]] = {}

    @property
    def engine(self) -> Engine:
        """The database, for what has transactions of its own, such as the arena."""
        return self._engine

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with explained(self.where), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing_alone(self, table: sa.Table) -> Iterator[Connection]:
        """Write while nobody else writes to a table, and all that others wrote there is seen."""
        alone = self._engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
        with explained(self.where), alone.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE MODE")
            yield connection

    @contextmanager
    def _caching(self) -> Iterator[Connection]:
        """Write what is derived; where it can't be written, as on a full disk, nothing is lost."""
        with suppress(WorkspaceError), self._writing() as connection:
            yield connection

    def _same(self, key: Hashable, state: object, make: Callable[[], Made]) -> Made:
        """Return what was made of the same state before, or make it; what is None is made again."""
        known, found = self._remembered.get(key, (None, None))
        if found is not None and known == state:
            return cast("Made", found)
        made = make()
        if len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = state, made
        return made

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self.where), self._engine.connect() as connection:
            yield connection


def insert_rows(
    connection: Connection,
    table: sa.Table,
    rows: Sequence[dict[str, Any]],
    *,
    replace: tuple[str, ...] = (),
) -> None:
    """Insert rows; where the primary key is there already, keep the old row or some columns."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = list(table.primary_key.columns)
    if replace:
        new = {column: statement.excluded[column] for column in replace}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=new)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement, rows)


def driver_rows(connection: Connection, query: sa.Select[Any]) -> Iterator[Sequence[Any]]:
    """Yield rows as the driver has them: SQLAlchemy's own would double the time of a million."""
    cursor = connection.execute(query).cursor
    while cursor is not None and (rows := cursor.fetchmany(_ROWS_AT_ONCE)):
        yield from rows


def insert_new(
    connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]], *, told: str
) -> set[Any]:
    """Insert rows that aren't there yet; return a column's values of those that weren't.

    Of two processes that insert the same rows at once, each is told of its own. Both insert in the
    order of the primary key: in different orders each could wait for the other for ever.
    """
    if not rows:
        return set()
    keys = list(table.primary_key.columns)
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=keys)
    ordered = sorted(rows, key=lambda row: [row[column.name] for column in keys])
    return set(connection.scalars(statement.returning(table.c[told]), ordered))


def _insert(connection: Connection, table: sa.Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def fixed(array: NDArray[Kind]) -> NDArray[Kind]:
    """Let nobody write to an array that several read."""
    array.flags.writeable = False
    return array


def null_if_nan(value: float) -> float | None:
    """Return what stands for a number in the database."""
    return None if math.isnan(value) else value


def nan_if_null(value: float | None) -> float:
    """Return the number that a column stands for."""
    return math.nan if value is None else value


def without_source(row: Any) -> dict[str, Any]:
    """Return a fact's fields; where it came from is the store's to know."""
    return {name: value for name, value in row._mapping.items() if name != "source_id"}
