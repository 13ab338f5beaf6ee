"""Writing rows: JSONL, JSON, Parquet or CSV, at once or not at all."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from evalcore.errors import InputError
from evalcore.spreadsheet import harmless

__all__ = ["Counted", "write_rows"]

Row = dict[str, Any]
T = TypeVar("T")
_ROWS_A_GROUP = 20_000
_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a file by its ending.

    A file that is there is replaced when all is written.

    Raises
    ------
    InputError
        For another ending, rows that CSV can't hold, and a file that can't be written.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise InputError(f"PATH must end in {', '.join(_WRITERS)}; got {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file, iter(rows))
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


_WRITERS: Mapping[str, Callable[[IO[bytes], Iterator[Row]], None]] = {
    ".jsonl": _write_jsonl,
    ".json": _write_json,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
