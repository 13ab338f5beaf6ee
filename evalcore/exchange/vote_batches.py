"""The columns of a file of votes, batch by batch: fast, and again line by line if in doubt."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from evalcore.errors import VotesError
from evalcore.exchange.ahead import made_ahead
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_rows
from evalcore.exchange.vote_columns import ALIASES, WANTED, VoteColumns
from evalcore.votes.parse import unquoted
from evalcore.votes.schema import REQUIRED, as_text

__all__ = ["column_names", "read_vote_columns"]

_BLOCK_BYTES = 1 << 21
_ROWS = 1 << 17


def column_names(path: Path) -> tuple[str, ...]:
    """Name the columns of a file: of its header, its schema, or its first row.

    Raises
    ------
    VotesError
        If the file can't be read or has no rows.
    """
    if path.suffix.lower() == ".parquet":
        try:
            return tuple(pa_parquet.read_schema(path).names)
        except FileNotFoundError as error:
            raise VotesError(f"{path}: no such file") from error
        except (OSError, pa.ArrowException) as error:
            raise VotesError(f"{path}: not a parquet file that can be read") from error
    first = next(read_rows(path), None)
    if first is None:
        raise VotesError(f"{path}: holds no rows")
    return tuple(first.fields)


def read_vote_columns(
    path: Path, context: ImportContext, *, battle_ids: bool = False
) -> Iterator[Parcel]:
    """Yield the votes of a file that holds nothing but votes.

    Where the fast way finds anything wrong the file is read again from its beginning, row by row,
    to tell the line or to find that all is well. What was stored of the first reading is stored
    again under the same ids, that is once.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    names = _present(column_names(path), path)
    unit = "row" if path.suffix.lower() in (".parquet", ".json") else "line"

    def table() -> VoteColumns:
        return VoteColumns(path, context, unit=unit, battle_ids=battle_ids)

    batches = _FAST.get(path.suffix.lower())
    if batches is not None:
        try:
            yield from made_ahead(_parcels(table(), batches(path, names)))
            return
        except pa.ArrowException:
            pass
        except VotesError:
            if unit == "row":
                raise
    yield from _parcels(table(), _row_batches(path, names))


def _parcels(
    table: VoteColumns, batches: Iterator[tuple[dict[str, Any], Any]]
) -> Generator[Parcel, None, None]:
    for columns, positions in batches:
        yield table.parcel(columns, positions, n_read=len(positions))


def _present(columns: tuple[str, ...], path: Path) -> dict[str, str]:
    """Map our names to the file's."""
    present = {}
    for name in WANTED:
        found = next((x for x in (name, *ALIASES.get(name, ())) if x in columns), None)
        if found is not None:
            present[name] = found
        elif name in REQUIRED:
            raise VotesError(
                f"column {name} is missing; the columns are {', '.join(columns)} ({path})"
            )
    return present


def _csv_batches(path: Path, names: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], Any]]:
    options = pa_csv.ConvertOptions(
        include_columns=list(names.values()),
        column_types=dict.fromkeys(names.values(), pa.string()),
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES)
    line = 2
    with pa_csv.open_csv(
        path, read_options=read, convert_options=options, parse_options=parse
    ) as batches:
        for batch in batches:
            columns = dict(zip(names, map(unquoted, batch.columns), strict=True))
            yield columns, range(line, line + len(batch))
            line += len(batch)


def _jsonl_batches(path: Path, names: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], Any]]:
    first = next(read_rows(path)).fields
    kinds = {column: _kind(name, first.get(column)) for name, column in names.items()}
    parse = pa_json.ParseOptions(
        explicit_schema=pa.schema(list(kinds.items())), unexpected_field_behavior="ignore"
    )
    # Votes are read ahead already: threads of Arrow's own would take the database's core.
    read = pa_json.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    line = 1
    with pa_json.open_json(path, read_options=read, parse_options=parse) as batches:
        for batch in batches:
            batch.validate(full=True)  # Arrow's reader takes what is no UTF-8
            columns = {name: _column(name, batch.column(column)) for name, column in names.items()}
            yield columns, range(line, line + len(batch))
            line += len(batch)


def _kind(name: str, value: Any) -> Any:
    """Return how a column is read whose first value is known; times may go on with fractions."""
    whole = pa.float64() if name == "created_utc" else pa.int64()
    kinds = {bool: pa.bool_(), int: whole, float: pa.float64()}
    return kinds.get(type(value), pa.string())


def _parquet_batches(path: Path, names: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], Any]]:
    row = 1
    file = pa_parquet.ParquetFile(path)
    try:
        for batch in file.iter_batches(columns=list(names.values()), batch_size=_ROWS):
            batch.validate(full=True)  # Arrow's reader takes what is no UTF-8
            columns = {name: _column(name, batch.column(column)) for name, column in names.items()}
            yield columns, range(row, row + len(batch))
            row += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise VotesError(f"{path}: damaged after row {row - 1}, or no text in it") from error


def _column(name: str, values: Any) -> Any:
    """Make a column one of text, unless it is one of times in numbers or of flags."""
    kind = values.type
    is_time = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if (name == "created_utc" and is_time) or (name == "swapped" and pa.types.is_boolean(kind)):
        return values
    return pa.compute.cast(as_text("model_a", values), pa.string())


def _row_batches(path: Path, names: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], Any]]:
    rows = read_rows(path)
    while some := list(islice(rows, _ROWS)):
        for row in some:
            row.needs(*(names[name] for name in REQUIRED))
        columns = {
            name: pa.array([_cell(row, column) for row in some], pa.string())
            for name, column in names.items()
        }
        yield columns, np.array([row.line for row in some], np.int64)


def _cell(row: Row, column: str) -> str | None:
    value = row.fields.get(column)
    return value if value is None or isinstance(value, str) else json.dumps(value)


_FAST = {
    ".csv": _csv_batches,
    ".jsonl": _jsonl_batches,
    ".ndjson": _jsonl_batches,
    ".parquet": _parquet_batches,
}
