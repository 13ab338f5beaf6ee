"""What all commands share: options, and results as JSON or as a table on stdout.

Importing this module is cheap, so that ``parity --help`` is; a command's module imports its heavy
parts inside the command.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

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
_NAME_WIDTH: Final = 24
"""Letters up to which a column of a table isn't broken where there is room."""
_LEAST_WIDTH: Final = 10
"""Letters that broken columns need."""
_PADDING: Final = 3
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
    console, table = Console(), Table(box=SIMPLE_HEAD)
    cells = [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(rows[0], *cells, strict=True)]
    is_name = [width <= _NAME_WIDTH for width in widths]
    least = [width if name else _LEAST_WIDTH for width, name in zip(widths, is_name, strict=True)]
    fits = sum(least) + _PADDING * len(least) + 1 <= console.width
    for title, name in zip(rows[0], is_name, strict=True):
        # Sentences give way to names. A name cut short may be another one's: it is folded.
        table.add_column(title, overflow="fold", no_wrap=name and fits)
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)
