"""CSV that a spreadsheet shows and never runs.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, in a CSV file
too, and formulas can fetch addresses and start programs. Texts come from models, raters and other
people's files, so that every text is made harmless; numbers stay numbers.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Cell", "begin_harmlessly", "csv_text", "harmless", "harmless_cells", "original"]

Cell = str | int | float | bool | None

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_STARTS = frozenset("'=+-@\t\r\n＝＋－＠")
"""First characters of texts that :data:`_FORMULA` may match."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def harmless(cell: Cell) -> Cell:
    """Make a cell safe for spreadsheets.

    A text that would be taken for a formula gets an apostrophe before it, which spreadsheets take
    for "this is text"; so does one with apostrophes before such a sign, so that
    :func:`original` can undo it. Numbers, and texts that are nothing but a number, stay as they
    are. Control characters other than tab and line ends, which would end or spoil the file, become
    U+FFFD.

    Examples
    --------
    >>> harmless("=cmd|x!A0")
    "'=cmd|x!A0"
    >>> harmless(-0.5), harmless("-0.5"), harmless("-cat")
    (-0.5, '-0.5', "'-cat")
    """
    if not isinstance(cell, str):
        return cell
    text = _CONTROL.sub("�", cell)
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def harmless_cells(cells: Sequence[Cell]) -> Sequence[Cell]:
    """Make a column of cells safe, as :func:`harmless` does one; most have nothing to change.

    Examples
    --------
    >>> harmless_cells(["=1+1", "a", None])
    ["'=1+1", 'a', None]
    """
    if str not in set(map(type, cells)):
        return cells
    texts = [cell for cell in cells if isinstance(cell, str)]
    if begin_harmlessly(texts) and not _CONTROL.search("".join(texts)):
        return cells
    changed = {text: harmless(text) for text in set(texts)}
    return [changed[cell] if isinstance(cell, str) else cell for cell in cells]


def begin_harmlessly(texts: Iterable[str]) -> bool:
    """Tell whether none of some texts begins with a sign that may make it a formula."""
    return _STARTS.isdisjoint({text[:1] for text in texts})


def original(text: str) -> str:
    """Undo :func:`harmless`, control characters excepted.

    Examples
    --------
    >>> original(str(harmless("@home"))), original("'tis")
    ('@home', "'tis")
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def csv_text(rows: Iterable[Mapping[str, Cell]], *, columns: Sequence[str] | None = None) -> str:
    """Write rows as CSV, in full precision; what is missing, None or nan is an empty cell.

    Parameters
    ----------
    rows
        By name of column.
    columns
        Their order; otherwise that in which the rows first have them.

    Examples
    --------
    >>> print(csv_text([{"model": "=cmd", "rating": 0.25}, {"model": "b"}]), end="")
    model,rating
    '=cmd,0.25
    b,
    """
    given = list(rows)
    names = (
        list(columns) if columns is not None else list(dict.fromkeys(k for r in given for k in r))
    )
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([harmless(name) for name in names])
    writer.writerows([_written(row.get(name)) for name in names] for row in given)
    return file.getvalue()


def _written(cell: Cell) -> Cell:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return harmless(cell)
