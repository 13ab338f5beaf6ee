"""A leaderboard on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from leaderboards.cells import Cells, cells
from leaderboards.records import Leaderboard
from leaderboards.words import summary

__all__ = ["BoardTable", "render"]

_FIXED = 4
_MOST_NOTES = 12


def render(leaderboard: Leaderboard) -> BoardTable:
    """Return what :meth:`rich.console.Console.print` shows as a table with summary and notes."""
    return BoardTable(leaderboard)


class BoardTable:
    """A leaderboard that leaves out the last columns where the terminal is too narrow for all."""

    def __init__(self, leaderboard: Leaderboard) -> None:
        self._leaderboard = leaderboard

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        content = cells(self._leaderboard)
        n_columns = len(content.headings)
        while True:
            table = _table(content, n_columns)
            width = Measurement.get(console, options.update(max_width=10_000), table).maximum
            if width <= options.max_width or n_columns == _FIXED:
                break
            n_columns -= 1
        yield Text(summary(self._leaderboard), style="bold")
        yield Text()
        yield table
        yield Text(content.legend, style="dim")
        yield from _notes(content.headings[n_columns:], self._leaderboard.warnings)


def _table(content: Cells, n_columns: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    for line, small in content.headings[:n_columns]:
        heading = Text(line, style="bold")
        if small:
            heading.append(f"\n{small}", style="dim not bold")
        table.add_column(
            heading,
            justify="left" if line in {"Model", "Ties"} else "right",
            no_wrap=line != "Model",
            overflow="fold",  # a name cut short may be another one's
        )
    for row in content.rows:
        table.add_row(*(Text(cell) for cell in row[:n_columns]))
    return table


def _notes(hidden: Sequence[tuple[str, str]], warnings: Sequence[str]) -> Iterator[Text]:
    if hidden:
        names = ", ".join(line for line, _small in hidden)
        yield Text(f"not shown for lack of width: {names}", style="yellow")
    for warning in warnings[:_MOST_NOTES]:
        yield Text(f"note: {warning}", style="yellow")
    if len(warnings) > _MOST_NOTES:
        yield Text(f"and {len(warnings) - _MOST_NOTES} more notes: --json has all", style="yellow")
