"""A great many rows at once, by the column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

__all__ = ["insert_columns", "python_values"]

_ROWS_A_STATEMENT = 64
_ROWS_AT_ONCE = 128 * _ROWS_A_STATEMENT
"""So many rows' values fit into the processor's cache while they are made, bound and let go."""
_PREFIX_BYTES = 8
_PLAIN_WORD = re.compile(r"[a-z_]{0,32}")
"""Texts that may stand in a statement as they are; all others are bound to it."""

Columns = Mapping[str, Any]


def insert_columns(connection: Connection, table: sa.Table, columns: Columns) -> int:
    """Insert rows whose primary key is not there yet, and return how many those were.

    Binding values and starting statements takes much of the time that SQLite wants for an insert.
    So a statement inserts 64 rows, and what is the same in all rows is written into it. Rows go in
    by the order of their key, because neighbours then share a page.

    Parameters
    ----------
    columns
        By name, an Arrow array of ``(n,)`` values, or the one value of all rows. The one column of
        the primary key is an array of texts.
    """
    (key,) = table.primary_key.columns.keys()
    constants = {name: text for name, x in columns.items() if (text := _constant(x)) is not None}
    arrays = {name: x for name, x in columns.items() if name not in constants}
    order = _order(columns[key])
    n_new = 0
    for begin in range(0, len(order), _ROWS_AT_ONCE):
        rows = pa.array(order[begin : begin + _ROWS_AT_ONCE])
        values = [
            python_values(x.take(rows)) if isinstance(x, pa.Array) else [x] * len(rows)
            for x in arrays.values()
        ]
        for n_rows, parameters in _by_statement(values, len(rows)):
            statement = _statement(connection, table, columns, constants, n_rows=n_rows)
            n_new += max(connection.exec_driver_sql(statement, parameters).rowcount, 0)
    return n_new


def python_values(array: pa.Array) -> list[Any]:
    """Return an array's values; those of a dictionary are made once for all rows that say them."""
    values: list[Any]
    if isinstance(array, pa.DictionaryArray):
        names = np.array([*array.dictionary.to_pylist(), None], object)
        values = names[np.asarray(array.indices.fill_null(-1))].tolist()
    else:
        values = array.to_pylist()
    return values


def _by_statement(
    values: Sequence[Sequence[Any]], n: int
) -> Iterator[tuple[int, list[tuple[Any, ...]]]]:
    """Yield how many rows a statement inserts, and the parameters of each such statement."""
    flat = tuple(chain.from_iterable(zip(*values, strict=True)))
    whole = n - n % _ROWS_A_STATEMENT
    for begin, end, n_rows in ((0, whole, _ROWS_A_STATEMENT), (whole, n, n - whole)):
        if begin < end:
            size = n_rows * len(values)
            places = range(begin * len(values), end * len(values), size)
            yield n_rows, [flat[place : place + size] for place in places]


def _statement(
    connection: Connection,
    table: sa.Table,
    columns: Columns,
    constants: Mapping[str, str],
    *,
    n_rows: int,
) -> str:
    # A statement that fails undoes the transaction: SQLite needs no journal to undo it alone.
    insert, mark = "INSERT OR FAIL", "?"
    if connection.dialect.name == "postgresql":
        insert, mark = "INSERT", "%s"
    row = f"({', '.join(constants.get(name, mark) for name in columns)})"
    return (
        f"{insert} INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([row] * n_rows)} "
        f"ON CONFLICT ({', '.join(table.primary_key.columns.keys())}) DO NOTHING"
    )


def _order(keys: pa.Array) -> NDArray[Any]:
    """Return rows by their keys; by the first bytes alone where all keys are of one length."""
    lengths = pc.min_max(pc.binary_length(keys)).as_py()
    if lengths["min"] != lengths["max"] or (lengths["min"] or 0) < _PREFIX_BYTES:
        return np.asarray(pc.sort_indices(keys))
    prefixes = pc.binary_slice(keys.cast(pa.binary()), 0, _PREFIX_BYTES)
    numbers = np.frombuffer(prefixes.buffers()[2], ">u8", len(keys))
    return np.argsort(numbers.astype(np.uint64))


def _constant(values: Any) -> str | None:
    """Return how a statement says what all values are, if they are all the same plain thing."""
    value = values
    if isinstance(values, pa.Array):
        if not len(values) or not _are_same(values):
            return None
        value = values[0].as_py()
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return f"'{value}'" if isinstance(value, str) and _PLAIN_WORD.fullmatch(value) else None


def _are_same(values: pa.Array) -> bool:
    if values.null_count:
        return bool(values.null_count == len(values))
    codes = values.indices if isinstance(values, pa.DictionaryArray) else values
    return bool(pc.all(pc.equal(codes, codes[0])).as_py())
