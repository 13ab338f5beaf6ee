"""Take votes row by row: the way for formats that have no columns, and for finding mistakes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from evalcore.votes.encode import VotesBuilder
from evalcore.votes.schema import ALIASES, REQUIRED

__all__ = ["NOT_AN_OBJECT", "NOT_UTF8", "Row", "add_rows"]

NOT_AN_OBJECT = "each line must be a JSON object"
NOT_UTF8 = "each line must be UTF-8"
Row = tuple[int, Mapping[str, Any] | str]
"""A line's number and its fields by name, or what is wrong with it."""

_CHUNK_ROWS = 1 << 16


def add_rows(builder: VotesBuilder, rows: Iterable[Row], wanted: Sequence[str]) -> None:
    """Add rows to a builder, chunk by chunk.

    Parameters
    ----------
    builder
        Takes the good rows, and notes what is wrong with the others.
    rows
        In the order of the file.
    wanted
        Names of the columns to keep; all but the optional ones must be in each row.
    """
    rows = iter(rows)
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        good = [row for row in chunk if not _problem_noted(builder, row)]
        columns = {name: _column(name, good) for name in wanted}
        builder.add(columns, np.array([line for line, _ in good], np.int64))


def _problem_noted(builder: VotesBuilder, row: Row) -> bool:
    line, fields = row
    if isinstance(fields, str):
        builder.problems.add(fields, line)
        return True
    missing = [name for name in REQUIRED if name not in fields]
    for name in missing:
        builder.problems.add(f"{name} is missing", line)
    return bool(missing)


def _column(name: str, rows: Sequence[Row]) -> Any:
    alias = ALIASES.get(name, name)
    return pa.array(
        [
            _text(fields.get(name, fields.get(alias)))
            for _, fields in rows
            if not isinstance(fields, str)
        ],
        pa.string(),
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
