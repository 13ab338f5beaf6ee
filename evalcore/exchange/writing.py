"""Writing rows: JSONL, JSON, Parquet or CSV, at once or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from evalcore.errors import InputError
from evalcore.spreadsheet import harmless, harmless_cells

__all__ = ["Counted", "write_columns", "write_rows"]

Row = dict[str, Any]
Columns = Mapping[str, Sequence[Any]]
T = TypeVar("T")
_ROWS_A_GROUP = 20_000
_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encoded_by_line = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=("\n", ": ")
).encode


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
        file.write(_encoded(row).encode("utf-8", "surrogatepass") + b"\n")


def _write_json(file: IO[bytes], rows: Iterator[Row]) -> None:
    before = b"["
    for row in rows:
        file.write(before + b"\n" + _encoded(row).encode("utf-8", "surrogatepass"))
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


def _encoded_rows(columns: Columns) -> Iterator[str]:
    """Yield rows as JSON, each column encoded at once: no value has a line end once encoded."""
    encoded = [_encoded_by_line(list(values))[1:-1].split("\n") for values in columns.values()]
    row = ", ".join(f"{_encoded(name)}: %s" for name in columns)
    return map(f"{{{row}}}".__mod__, zip(*encoded, strict=True))


def _write_jsonl_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    for columns in batches:
        file.write(("\n".join(_encoded_rows(columns)) + "\n").encode("utf-8", "surrogatepass"))


def _write_json_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    before = b"[\n"
    for columns in batches:
        file.write(before + ",\n".join(_encoded_rows(columns)).encode("utf-8", "surrogatepass"))
        before = b",\n"
    file.write(b"[]\n" if before == b"[\n" else b"\n]\n")


def _write_csv_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    header = True
    for columns in batches:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        if header:
            writer.writerow(list(columns))
            header = False
        writer.writerows(zip(*map(harmless_cells, columns.values()), strict=True))
        file.write(text.getvalue().encode("utf-8", "surrogatepass"))


def _write_parquet_columns(file: IO[bytes], batches: Iterator[Columns]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(next(batches, {})))
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        for columns in batches:
            writer.write_table(pa.table(dict(columns), table.schema))


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
