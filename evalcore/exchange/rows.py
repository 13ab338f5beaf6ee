"""Rows of a foreign file, whatever its form, with every mistake told by file and line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.json_files import parse_json, read_json
from evalcore.spreadsheet import original

__all__ = ["Row", "first_line", "read_lines", "read_rows"]

_LONGEST_LINE = 1 << 26
_PARQUET_ROWS = 1000
_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")


class Row:
    """The fields of one line, and where they are."""

    def __init__(self, fields: Any, *, path: Path, line: int) -> None:
        self.line = line
        self.where = f"{path}, {_unit(path)} {line}"
        if not isinstance(fields, Mapping):
            raise VotesError(f"{self.where}: must be a JSON object; got {type(fields).__name__}")
        self.fields = fields

    def text(self, name: str) -> str:
        """Return a field's text, or its whole number as text.

        Raises
        ------
        VotesError
            If it is missing, empty or something else.
        """
        value = self.fields.get(name)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise VotesError(f"{self.where}: {name} must be a text; got {value!r:.80}")
        return str(value)

    def optional_text(self, name: str) -> str | None:
        """Return a field's text; None where there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> float:
        """Return a field's number; nan where it is missing or null.

        Raises
        ------
        VotesError
            If it is something else.
        """
        value = self.fields.get(name)
        if value is None:
            return math.nan
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VotesError(f"{self.where}: {name} must be a number; got {value!r:.80}")
        return float(value)

    def one_of(self, name: str, permitted: Mapping[str, Any]) -> Any:
        """Return what a label stands for.

        Raises
        ------
        VotesError
            For a label that isn't permitted.
        """
        value = str(self.fields.get(name))
        if value not in permitted:
            raise VotesError(
                f"{self.where}: {name} must be one of {', '.join(permitted)}; got {value!r:.80}"
            )
        return permitted[value]

    def texts(self, name: str) -> list[str]:
        """Return a field's list of texts; of a single text a list of it.

        Raises
        ------
        VotesError
            If it is missing, empty or something else.
        """
        value = self.fields.get(name)
        values = [value] if isinstance(value, str) else value
        if (
            not isinstance(values, list)
            or not values
            or not all(isinstance(v, str) for v in values)
        ):
            raise VotesError(f"{self.where}: {name} must be a list of texts; got {value!r:.80}")
        return values

    def needs(self, *names: str) -> None:
        """Check that fields are there.

        Raises
        ------
        VotesError
            If one is missing, naming those that are there.
        """
        missing = [name for name in names if name not in self.fields]
        if missing:
            has = ", ".join(map(str, self.fields)) or "none"
            raise VotesError(
                f"{self.where}: {', '.join(missing)} missing; the fields are {has:.300}"
            )


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file in the manner of its ending, a few at a time.

    Parameters
    ----------
    path
        ``.jsonl`` or ``.ndjson``, ``.csv``, ``.parquet``, or the list in a ``.json`` file, which is
        read whole.

    Raises
    ------
    VotesError
        If the file can't be read, or isn't what its name says.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise VotesError(f"{path}: its name must end in {', '.join(_ENDINGS)}")
    try:
        for line, fields in reader(path):
            yield Row(fields, path=path, line=line)
    except FileNotFoundError as error:
        raise VotesError(f"{path}: no such file") from error
    except OSError as error:
        raise VotesError(f"{path}: can't be read: {error.strerror or error}") from error


def read_lines(path: Path) -> Iterator[Row]:
    """Yield the lines of a file of JSON objects, whatever its name ends in.

    Raises
    ------
    VotesError
        As :func:`read_rows`.
    """
    try:
        for line, fields in _jsonl(path):
            yield Row(fields, path=path, line=line)
    except OSError as error:
        raise VotesError(f"{path}: can't be read: {error.strerror or error}") from error


def first_line(path: Path) -> Row:
    """Return a file's first row; a ``.json`` file may hold lines of objects as well as a list.

    Raises
    ------
    VotesError
        As :func:`read_rows`, and for a file without rows.
    """
    rows = read_rows(path)
    if path.suffix.lower() == ".json" and _begins_with(path, b"{"):
        rows = read_lines(path)
    first = next(rows, None)
    if first is None:
        raise VotesError(f"{path}: holds no rows")
    return first


def _begins_with(path: Path, sign: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(sign)
    except OSError as error:
        raise VotesError(f"{path}: can't be read: {error.strerror or error}") from error


def _unit(path: Path) -> str:
    return "line" if path.suffix.lower() in (".jsonl", ".ndjson", ".csv") else "row"


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            where = f"{path}, line {number}"
            if len(line) == _LONGEST_LINE:
                raise VotesError(f"{where}: longer than {_LONGEST_LINE >> 20} MiB")
            if line.strip():
                yield number, parse_json(line, where)


def _json_list(path: Path) -> Iterator[tuple[int, Any]]:
    content = read_json(path)
    if not isinstance(content, list):
        raise VotesError(f"{path}: must be a list of objects; got {type(content).__name__}")
    return enumerate(content, 1)


def _csv(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise VotesError(f"{path}, line 1: columns must be unique")
            line = reader.line_num + 1
            for fields in reader:
                if fields and len(fields) != len(header):
                    raise VotesError(
                        f"{path}, line {line}: must have {len(header)} fields, as the header; "
                        f"got {len(fields)}"
                    )
                if fields:
                    yield line, dict(zip(header, map(original, fields), strict=True))
                line = reader.line_num + 1
        except csv.Error as error:
            raise VotesError(f"{path}, line {reader.line_num}: not CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise VotesError(f"{path}, after line {reader.line_num}: not UTF-8 text") from error


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pa_parquet

    row = 0
    try:
        for batch in pa_parquet.ParquetFile(path).iter_batches(batch_size=_PARQUET_ROWS):
            for fields in batch.to_pylist():
                row += 1
                yield row, {name: _none_if_nan(value) for name, value in fields.items()}
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        after = f" after row {row}" if row else ""
        raise VotesError(f"{path}: not a parquet file that can be read{after}") from error


def _none_if_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


_READERS: Mapping[str, Callable[[Path], Iterator[tuple[int, Any]]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _json_list,
    ".csv": _csv,
    ".parquet": _parquet,
}
