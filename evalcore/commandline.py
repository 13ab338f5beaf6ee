"""What all commands share: options, JSON on stdout, progress on stderr.

Importing this module is cheap, so that ``parity --help`` is; a command's module imports its heavy
parts inside the command.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalcore.codec import to_json

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "JsonOption",
    "StoreOption",
    "WorkspaceOption",
    "print_json",
    "progress_bar",
]

WorkspaceOption = Annotated[
    Path,
    typer.Option(
        "--workspace", "-w", metavar="DIR", help="Folder of results.", envvar="PARITY_WORKSPACE"
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Database to use instead of the workspace's own, such as postgresql+psycopg://…",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def print_json(value: Any) -> None:
    """Print a record or nested structure as strict JSON on stdout."""
    sys.stdout.write(to_json(value, indent=2) + "\n")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress on stderr with rate and remaining time; a plain file gets nothing."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:
        yield progress
