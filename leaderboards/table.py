"""A leaderboard on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import strip_control_codes
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from leaderboards.cells import TextColumn, legend, text_columns
from leaderboards.records import Leaderboard
from leaderboards.words import summary

__all__ = ["BoardTable", "render"]

_FIXED = 4
_GAP = "  "
_MOST_NOTES = 12
_NARROWEST_NAME = len("Model")


def render(leaderboard: Leaderboard) -> BoardTable:
    """Return what :meth:`rich.console.Console.print` shows as a table with summary and notes."""
    return BoardTable(leaderboard)


class BoardTable:
    """A leaderboard that leaves out the last columns where the terminal is too narrow for all.

    It sets its own cells: rich's table, which looks at each for markup, widths to choose from and
    lines to break, takes longer for a hundred models than ranking them does.
    """

    def __init__(self, leaderboard: Leaderboard) -> None:
        self._leaderboard = leaderboard

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = text_columns(self._leaderboard)
        shown = list(_fitting(columns, options.max_width))
        yield Text(summary(self._leaderboard), style="bold")
        yield Text()
        excess = sum(c.width for c in shown) + len(_GAP) * (len(shown) - 1) - options.max_width
        if excess > 0:
            shown = [_narrower(c, c.width - excess) if c.is_name else c for c in shown]
        yield from _set(shown)
        yield Text(legend(self._leaderboard), style="dim")
        hidden = [column.heading for column in columns[len(shown) :]]
        yield from _notes(hidden, self._leaderboard.warnings)


class _Printed(NamedTuple):
    """A column whose cells are lines of text."""

    heading: list[str]
    cells: list[list[str]]
    width: int
    """In a terminal's cells."""
    is_left: bool
    is_name: bool

    def padded(self, line: str) -> str:
        """Fill a line up to the column's width."""
        space = " " * (self.width - cell_len(line))
        return line + space if self.is_left else space + line


def _fitting(columns: Sequence[TextColumn], width: int) -> Iterator[_Printed]:
    """Write the columns that a width has room for, and the first ones in any case."""
    for place, column in enumerate(columns):
        printed = _printed(column)
        width -= printed.width + len(_GAP)
        if width < 0 and place >= _FIXED:
            return
        yield printed


def _printed(column: TextColumn) -> _Printed:
    line, small = column.heading
    heading, cells = _lines(f"{line}\n{small}"), [_lines(text) for text in column.texts()]
    return _Printed(
        heading=heading,
        cells=cells,
        width=max(cell_len(line) for lines in (heading, *cells) for line in lines),
        is_left=line in {"Model", "Ties"},
        is_name=line == "Model",
    )


def _lines(text: str) -> list[str]:
    if text.isprintable():
        return [text]
    return strip_control_codes(text).expandtabs().splitlines() or [""]


def _narrower(column: _Printed, width: int) -> _Printed:
    """Fold what is too long: a name cut short may be another one's."""
    width = max(width, _NARROWEST_NAME)
    console = Console(width=width)
    cells = [
        [part.plain for line in lines for part in Text(line).wrap(console, width, overflow="fold")]
        for lines in column.cells
    ]
    return column._replace(cells=cells, width=width)


def _set(columns: Sequence[_Printed]) -> Iterator[Segment]:
    headings = zip_longest(*(column.heading for column in columns), fillvalue="")
    for place, texts in enumerate(headings):
        yield Segment(_joined(columns, texts), Style(bold=not place, dim=bool(place)))
        yield Segment.line()
    for row in zip(*(column.cells for column in columns), strict=True):
        for texts in zip_longest(*row, fillvalue=""):
            yield Segment(f"{_joined(columns, texts)}\n")


def _joined(columns: Sequence[_Printed], texts: Sequence[str]) -> str:
    cells = (column.padded(text) for column, text in zip(columns, texts, strict=True))
    return _GAP.join(cells).rstrip()


def _notes(hidden: Sequence[tuple[str, str]], warnings: Sequence[str]) -> Iterator[Text]:
    if hidden:
        names = ", ".join(line for line, _small in hidden)
        yield Text(f"not shown for lack of width: {names}", style="yellow")
    for warning in warnings[:_MOST_NOTES]:
        yield Text(f"note: {warning}", style="yellow")
    if len(warnings) > _MOST_NOTES:
        yield Text(f"and {len(warnings) - _MOST_NOTES} more notes: --json has all", style="yellow")
