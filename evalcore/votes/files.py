"""Read vote files in chunks: jsonl, csv and parquet with LMArena's column names."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from evalcore.errors import VotesError
from evalcore.spreadsheet import original
from evalcore.votes.columns import Votes
from evalcore.votes.encode import VotesBuilder
from evalcore.votes.parse import unquoted
from evalcore.votes.rows import NOT_AN_OBJECT, NOT_UTF8, Row, add_rows
from evalcore.votes.schema import as_text, present_columns, wanted_columns

__all__ = ["read_votes"]

_NOT_CSV = "each line must be comma-separated values with as many fields as the header"


def read_votes(path: Path, *, features: Sequence[str] = ()) -> Votes:
    """Read a vote file.

    The columns are ``model_a``, ``model_b``, ``winner`` (``model_a``, ``model_b``, ``tie``,
    ``both_bad`` or ``tie (bothbad)``) and, where the file has them, ``id``, ``example_id``,
    ``rater``, ``rater_kind``, ``swapped`` and ``created_utc``. LMArena's own names
    ``question_id``, ``judge`` and ``tstamp`` stand for ``example_id``, ``rater`` and
    ``created_utc``. Other columns are left alone.

    Parameters
    ----------
    path
        A file whose name ends in ``.jsonl``, ``.ndjson``, ``.csv`` or ``.parquet``, in UTF-8.
    features
        Style features to read, each from the columns ``NAME_a`` and ``NAME_b``.

    Returns
    -------
    Votes
        At least one vote on at least two models.

    Raises
    ------
    VotesError
        With a line for each kind of problem: where it begins and how many lines have it. Nothing
        is dropped or guessed: an unknown label is never a tie.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise VotesError(f"votes must be one of {', '.join(_READERS)}; got {path}")
    try:
        return reader(path, features)
    except OSError as error:
        raise VotesError(f"votes can't be read: {error.strerror or error} ({path})") from error


def _read_jsonl(path: Path, features: Sequence[str]) -> Votes:
    builder = VotesBuilder(str(path), features=features)
    add_rows(builder, _jsonl_rows(path), wanted_columns(features))
    return builder.build()


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    row = json.loads(text)
                    yield number, row if isinstance(row, dict) else NOT_AN_OBJECT
            except UnicodeDecodeError:
                yield number, NOT_UTF8
            except (ValueError, RecursionError):
                yield number, NOT_AN_OBJECT


def _read_csv(path: Path, features: Sequence[str]) -> Votes:
    """Read fast; if anything is wrong, again line by line, to say exactly where."""
    header = _csv_header(path)
    names = present_columns(header, features, f"{path}, line 1")
    builder = VotesBuilder(str(path), features=features)
    try:
        _add_csv_batches(builder, path, names)
    except pa.ArrowInvalid:
        builder.problems.add(_NOT_CSV, 1)
    if builder.problems:
        builder = VotesBuilder(str(path), features=features)
        add_rows(builder, _csv_rows(path, header), wanted_columns(features))
    return builder.build()


def _csv_header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = next(csv.reader(file), [])
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise VotesError(f"columns must be unique; got {repeated[0]!r} twice ({path}, line 1)")
    if not header:
        raise VotesError(f"there must be at least one vote ({path}; 0 lines)")
    return header


def _add_csv_batches(builder: VotesBuilder, path: Path, names: Mapping[str, str]) -> None:
    options = pa_csv.ConvertOptions(
        include_columns=list(names.values()),
        column_types={column: pa.string() for column in names.values()},
    )
    parse = pa_csv.ParseOptions(newlines_in_values=True)
    line = 2
    with pa_csv.open_csv(path, convert_options=options, parse_options=parse) as batches:
        for batch in batches:
            columns = dict(zip(names, map(unquoted, batch.columns), strict=True))
            builder.add(columns, range(line, line + len(batch)))
            line += len(batch)


def _csv_rows(path: Path, header: Sequence[str]) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        next(reader)
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
                "".join(fields).encode()
            except StopIteration:
                return
            except UnicodeEncodeError:
                yield line, NOT_UTF8
            except csv.Error:
                yield line, _NOT_CSV
            else:
                if len(fields) == len(header):
                    yield line, dict(zip(header, map(original, fields), strict=True))
                elif fields:
                    yield line, _NOT_CSV


def _read_parquet(path: Path, features: Sequence[str]) -> Votes:
    builder = VotesBuilder(str(path), features=features, unit="row")
    row = 1
    try:
        file = pa_parquet.ParquetFile(path)
        names = present_columns(file.schema_arrow.names, features, str(path))
        for batch in file.iter_batches(columns=list(names.values())):
            columns = {name: as_text(name, batch.column(names[name])) for name in names}
            builder.add(columns, range(row, row + len(batch)))
            row += len(batch)
    except pa.ArrowException as error:
        raise VotesError(f"votes must be a parquet file of text and numbers ({path})") from error
    return builder.build()


_READERS: Mapping[str, Callable[[Path, Sequence[str]], Votes]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
