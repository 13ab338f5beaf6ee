"""What all commands share: options, and results as JSON or as a table on stdout.

Importing this module is cheap, so that ``parity --help`` is; a command's module imports its heavy
parts inside the command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "JsonOption",
    "StoreOption",
    "WorkspaceOption",
    "print_json",
    "print_table",
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


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print a record or nested structure as strict JSON on stdout; without indent, on one line."""
    from evalcore.codec import to_json

    sys.stdout.write(to_json(value, indent=indent) + "\n")


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows with the same keys as a table; nothing for no rows."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        return
    table = Table(box=SIMPLE_HEAD)
    for name in rows[0]:
        table.add_column(name, overflow="fold")  # a name cut short may be another one's
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    Console().print(table)
