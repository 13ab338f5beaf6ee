"""What all commands share: options, and JSON on stdout.

Importing this module is cheap, so that ``parity --help`` is; a command's module imports its heavy
parts inside the command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evalcore.codec import to_json

__all__ = [
    "JsonOption",
    "StoreOption",
    "WorkspaceOption",
    "print_json",
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
