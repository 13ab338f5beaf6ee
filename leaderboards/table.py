"""A leaderboard on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from leaderboards.cells import TextColumn, legend, text_columns
from leaderboards.records import Leaderboard
from leaderboards.words import summary

__all__ = ["BoardTable", "render"]

_FIXED = 4
_GAP = 2
_MOST_NOTES = 12


def render(leaderboard: Leaderboard) -> BoardTable:
    """Return what :meth:`rich.console.Console.print` shows as a table with summary and notes."""
    return BoardTable(leaderboard)


class BoardTable:
    """A leaderboard that leaves out the last columns where the terminal is too narrow for all."""

    def __init__(self, leaderboard: Leaderboard) -> None:
        self._leaderboard = leaderboard

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = text_columns(self._leaderboard)
        table = Table(box=None, padding=(0, _GAP, 0, 0), header_style="")
        shown: list[list[Text]] = []
        width = 0
        for column in columns:
            heading, texts = _heading(column), [Text(text) for text in column.texts()]
            width += _GAP + max(_width(text) for text in (heading, *texts))
            if width > options.max_width and len(shown) >= _FIXED:
                break
            _add_column(table, column.heading[0], heading)
            shown.append(texts)
        for row in zip(*shown, strict=True):
            table.add_row(*row)
        yield Text(summary(self._leaderboard), style="bold")
        yield Text()
        yield table
        yield Text(legend(self._leaderboard), style="dim")
        hidden = [column.heading for column in columns[len(shown) :]]
        yield from _notes(hidden, self._leaderboard.warnings)


def _add_column(table: Table, line: str, heading: Text) -> None:
    table.add_column(
        heading,
        justify="left" if line in {"Model", "Ties"} else "right",
        no_wrap=line != "Model",
        overflow="fold",  # a name cut short may be another one's
    )


def _heading(column: TextColumn) -> Text:
    line, small = column.heading
    heading = Text(line, style="bold")
    return heading.append(f"\n{small}", style="dim not bold") if small else heading


def _width(text: Text) -> int:
    return max(map(cell_len, text.plain.splitlines()), default=0)


def _notes(hidden: Sequence[tuple[str, str]], warnings: Sequence[str]) -> Iterator[Text]:
    if hidden:
        names = ", ".join(line for line, _small in hidden)
        yield Text(f"not shown for lack of width: {names}", style="yellow")
    for warning in warnings[:_MOST_NOTES]:
        yield Text(f"note: {warning}", style="yellow")
    if len(warnings) > _MOST_NOTES:
        yield Text(f"and {len(warnings) - _MOST_NOTES} more notes: --json has all", style="yellow")
