"""What all commands share: options, JSON on stdout, progress on stderr.

Importing this module is cheap, so that ``parity --help`` is; a command's module imports its heavy
parts inside the command.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = [
    "JsonOption",
    "StoreOption",
    "WorkspaceOption",
    "jsonable",
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


def jsonable(value: Any) -> Any:
    """Return records, mappings and sequences as plain JSON types; nan and infinities as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return jsonable(asdict(value))
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def print_json(value: Any) -> None:
    """Print a record or nested structure as strict JSON on stdout."""
    text = json.dumps(jsonable(value), ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


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
