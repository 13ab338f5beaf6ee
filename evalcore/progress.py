"""Progress on stderr, with rate, cost and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from evalcore.stages import Advance, Begin

__all__ = ["progress_bars"]


class _CostColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        cost_usd = task.fields["cost_usd"]
        return Text(f"${cost_usd:.4f}" if cost_usd else "")


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s", style="progress.data.speed")


@contextmanager
def progress_bars() -> Iterator[Begin]:
    """Show a bar for each piece of work; nothing where stderr is no terminal.

    Yields
    ------
    callable
        Begins a bar with a label and a total, and returns what moves it on by a number and adds a
        cost.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        _RateColumn(),
        _CostColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def begin(label: str, total: int) -> Advance:
            bar = progress.add_task(label, total=total, visible=total > 0, cost_usd=0.0)

            def advance(count: int, cost_usd: float) -> None:
                spent = progress.tasks[bar].fields["cost_usd"] + cost_usd
                progress.update(bar, advance=count, cost_usd=spent)

            return advance

        yield begin
