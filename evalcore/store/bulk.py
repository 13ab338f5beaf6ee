"""A great many rows at once, by the column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

__all__ = ["insert_columns"]

_ROWS_A_STATEMENT = 32
_PLAIN_WORD = re.compile(r"[a-z_]{0,32}")
"""Texts that may stand in a statement as they are; all others are bound to it."""

Columns = Mapping[str, Sequence[Any]]


def insert_columns(connection: Connection, table: sa.Table, columns: Columns) -> int:
    """Insert rows whose primary key is not there yet, and return how many those were.

    Binding values and starting statements takes most of the time that SQLite wants for an insert.
    So a statement inserts 32 rows, and a column that says the same in all rows is written into it.
    Rows go in by the order of their key, because neighbours then share a page.

    Parameters
    ----------
    columns
        Values as the driver takes them, of equal length n, by the names of columns.
    """
    (key,) = table.primary_key.columns.keys()
    n = len(columns[key])
    constants = {name: text for name, x in columns.items() if (text := _constant(x)) is not None}
    bound = [name for name in columns if name not in constants]
    order = _order(columns[key])
    values: list[Any] = [None] * (n * len(bound))
    for place, name in enumerate(bound):
        values[place :: len(bound)] = map(columns[name].__getitem__, order)
    # A statement that fails undoes the transaction: SQLite needs no journal to undo it alone.
    insert, mark = ("INSERT OR FAIL", "?")
    if connection.dialect.name == "postgresql":
        insert, mark = ("INSERT", "%s")
    row = f"({', '.join(constants.get(name, mark) for name in columns)})"
    head = f"{insert} INTO {table.name} ({', '.join(columns)}) VALUES "
    whole = n - n % _ROWS_A_STATEMENT
    n_new = 0
    for begin, end, n_rows in ((0, whole, _ROWS_A_STATEMENT), (whole, n, n - whole)):
        size = n_rows * len(bound)
        if begin < end:
            places = range(begin * len(bound), end * len(bound), size)
            statement = f"{head}{', '.join([row] * n_rows)} ON CONFLICT ({key}) DO NOTHING"
            sets = [tuple(values[place : place + size]) for place in places]
            n_new += max(connection.exec_driver_sql(statement, sets).rowcount, 0)
    return n_new


def _order(keys: Sequence[str]) -> list[int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    order: list[int] = pc.sort_indices(pa.array(keys, pa.string())).to_pylist()
    return order


def _constant(values: Sequence[Any]) -> str | None:
    """Return how a statement says what all values are, if they are all the same plain thing."""
    if not values or values.count(values[0]) < len(values):
        return None
    value = values[0]
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f"'{value}'" if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) else None
