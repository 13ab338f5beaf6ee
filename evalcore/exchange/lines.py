"""Rows given by the column as lines of JSON and CSV: what is the same for a column is done once."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalcore.spreadsheet import begin_harmlessly, harmless_cells

__all__ = ["csv_lines", "json_encoded", "json_rows"]

Columns = Mapping[str, Sequence[Any]]

json_encoded = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_encoded_by_line = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=("\n", ": ")
).encode
_JSON_SIGNS = re.compile(r'["\\\x00-\x1f]')
_CSV_SIGNS = re.compile(r'[",\x00-\x1f\x7f]')


def json_rows(columns: Columns) -> Iterator[str]:
    """Yield rows as JSON objects, each as :mod:`json` would write it."""
    marks, values = zip(*map(_json_values, columns.values()), strict=True)
    fields = zip(columns, marks, strict=True)
    row = ", ".join(f"{json_encoded(name).replace('%', '%%')}: {mark}" for name, mark in fields)
    return map(f"{{{row}}}".__mod__, zip(*values, strict=True))


def _json_values(values: Sequence[Any]) -> tuple[str, Sequence[str]]:
    """Return the place of a column's value in a row, and what goes there."""
    if _are_texts_without(_JSON_SIGNS, values):
        return '"%s"', values
    # No value has a line end once encoded, so that all are encoded at once.
    return "%s", _encoded_by_line(list(values))[1:-1].split("\n")


def csv_lines(columns: Columns) -> str:
    """Return rows as lines of CSV, each as :mod:`csv` would write it, safe for spreadsheets."""
    cells = [cell for values in columns.values() if (cell := _csv_cells(values)) is not None]
    if len(cells) == len(columns) > 1:
        return "\n".join(map(",".join, zip(*cells, strict=True))) + "\n"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(zip(*map(harmless_cells, columns.values()), strict=True))
    return text.getvalue()


def _csv_cells(values: Sequence[Any]) -> Sequence[str] | None:
    """Return the cells of a column in which nothing has to be quoted or made harmless."""
    if set(map(type, values)) == {bool}:
        return list(map(str, values))
    if _are_texts_without(_CSV_SIGNS, values) and begin_harmlessly(values):
        return values
    return None


def _are_texts_without(signs: re.Pattern[str], values: Sequence[Any]) -> bool:
    try:
        return signs.search("".join(values)) is None
    except TypeError:  # not all are texts
        return False
