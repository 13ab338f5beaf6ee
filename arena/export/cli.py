"""The command ``parity export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError
from evalcore.records import RaterKind

__all__ = ["export"]


def export(
    form: Annotated[
        str, typer.Argument(metavar="FORMAT", help="votes, lmarena, trl_dpo or trl_kto.")
    ],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="File that ends in .jsonl, .parquet or .csv.")
    ],
    raters: Annotated[
        list[str] | None,
        typer.Option(
            "--raters",
            metavar="KIND",
            help="human (default), judge, rule or simulated; repeatable.",
        ),
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the workspace's votes for other tools; raters go by pseudonyms."""
    from arena.export.files import Counted, write_rows
    from arena.export.formats import FORMATS
    from arena.export.judged import judged_comparisons
    from evalcore.store import open_store

    if form not in FORMATS:
        raise InputError(f"FORMAT must be one of {', '.join(FORMATS)}; got {form!r}")
    kinds = _kinds(raters)
    with open_store(workspace, store, create=False) as opened:
        votes = Counted(judged_comparisons(opened, kinds=kinds))
        rows = Counted(row for judged in votes for row in FORMATS[form](judged))
        write_rows(path, rows)
    if as_json:
        print_json({"path": str(path), "format": form, "votes": votes.n, "rows": rows.n})
    else:
        print(f"{path}: {rows.n} rows of {votes.n} votes")
    if form != "votes" and rows.n < votes.n:
        print("ties, and votes whose answers are not stored, make no rows", file=sys.stderr)


def _kinds(given: list[str] | None) -> tuple[RaterKind, ...]:
    known: tuple[RaterKind, ...] = get_args(RaterKind)
    for kind in given or ():
        if kind not in known:
            raise InputError(f"--raters must be one of {', '.join(known)}; got {kind!r}")
    return tuple(kind for kind in known if kind in (given or ("human",)))
