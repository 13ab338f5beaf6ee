"""Writing rows: JSONL, JSON, Parquet or CSV, at once or not at all."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from evalcore.errors import InputError
from evalcore.exchange.lines import csv_lines, json_encoded, json_rows
from evalcore.spreadsheet import harmless

__all__ = ["Counted", "write_columns", "write_rows"]

Row = dict[str, Any]
Columns = Mapping[str, Sequence[Any]]
T = TypeVar("T")
_ROWS_A_GROUP = 20_000
_COLUMN_ROWS_A_GROUP = 10_000


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a file by its ending.

    A file that is there is replaced when all is written.

    Raises
    ------
    InputError
        For another ending, rows that CSV can't hold, and a file that can't be written.
    """
    _write(path, _WRITERS, iter(rows))


def write_columns(path: Path, batches: Iterable[Columns]) -> None:
    """Write rows that hold nothing but texts, numbers and flags, given by the column.

    The file is the same as of :func:`write_rows`, in half the time.

    Parameters
    ----------
    batches
        Values by names of columns, the same names in each batch.

    Raises
    ------
    InputError
        As :func:`write_rows`.
    """
    _write(path, _COLUMN_WRITERS, iter(batches))


def _write(
    path: Path,
    writers: Mapping[str, Callable[[IO[bytes], Iterator[T]], None]],
    content: Iterator[T],
) -> None:
    write = writers.get(path.suffix.lower())
    if write is None:
        raise InputError(f"PATH must end in {', '.join(writers)}; got {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file, content)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"export {path} can't be written: {error.strerror}") from error


class Counted(Generic[T]):
    """Items, counted as they pass."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.n = 0
        """How many have passed."""

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.n += 1
            yield item


def _write_jsonl(file: IO[bytes], rows: Iterator[Row]) -> None:
    for row in rows:
        file.write(json_encoded(row).encode("utf-8", "surrogatepass") + b"\n")


def _write_json(file: IO[bytes], rows: Iterator[Row]) -> None:
    before = b"["
    for row in rows:
        file.write(before + b"\n" + json_encoded(row).encode("utf-8", "surrogatepass"))
        before = b","
    file.write(b"[]\n" if before == b"[" else b"\n]\n")


def _write_parquet(file: IO[bytes], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = list(islice(rows, _ROWS_A_GROUP))
    table = pa.Table.from_pylist(first)
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        while group := list(islice(rows, _ROWS_A_GROUP)):
            writer.write_table(pa.Table.from_pylist(group, table.schema))


def _write_csv(file: IO[bytes], rows: Iterator[Row]) -> None:
    first = next(rows, None)
    if first is None:
        return
    if any(isinstance(value, list | dict) for value in first.values()):
        raise InputError("CSV holds votes alone; write conversations as .jsonl or .parquet")
    writer = csv.writer(_Utf8(file), lineterminator="\n")
    writer.writerow(list(first))
    writer.writerows(map(harmless, row.values()) for row in chain([first], rows))


class _Utf8:
    """What :mod:`csv` writes to, without closing the file below."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write text as UTF-8."""
        return self._file.write(text.encode("utf-8", "surrogatepass"))


def _write_jsonl_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    for columns in batches:
        file.write(("\n".join(json_rows(columns)) + "\n").encode("utf-8", "surrogatepass"))


def _write_json_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    before = b"[\n"
    for columns in batches:
        file.write(before + ",\n".join(json_rows(columns)).encode("utf-8", "surrogatepass"))
        before = b",\n"
    file.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _write_csv_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    header = True
    for columns in batches:
        if header:
            csv.writer(_Utf8(file), lineterminator="\n").writerow(list(columns))
            header = False
        file.write(csv_lines(columns).encode("utf-8", "surrogatepass"))


def _write_parquet_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    group = [pa.table(dict(next(batches, {})))]
    schema = group[0].schema
    with pq.ParquetWriter(file, schema) as writer:
        for columns in batches:
            if sum(map(len, group)) >= _COLUMN_ROWS_A_GROUP:
                writer.write_table(pa.concat_tables(group).combine_chunks())
                group = []
            group.append(pa.table(dict(columns), schema))
        writer.write_table(pa.concat_tables(group).combine_chunks())


_WRITERS: Mapping[str, Callable[[IO[bytes], Iterator[Row]], None]] = {
    ".jsonl": _write_jsonl,
    ".json": _write_json,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
_COLUMN_WRITERS: Mapping[str, Callable[[IO[bytes], Iterator[Columns]], None]] = {
    ".jsonl": _write_jsonl_columns,
    ".json": _write_json_columns,
    ".parquet": _write_parquet_columns,
    ".csv": _write_csv_columns,
}
