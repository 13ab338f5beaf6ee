"""The commands ``parity import`` and ``parity export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError
from evalcore.records import RaterKind

__all__ = ["export", "import_"]


def import_(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="alpaca_eval, arena_hard, fastchat, inspect, lighteval, lm_eval, lmarena, "
            "pandalm or votes.",
        ),
    ],
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files, or folders that hold them.")
    ],
    prompts: Annotated[
        list[Path] | None,
        typer.Option(
            "--prompts",
            "-p",
            metavar="FILE",
            help="Prompt set with the texts of questions that files name by id; repeatable.",
        ),
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take other tools' files over: votes, verdicts, answers, scores; all of them or nothing."""
    from evalcore.exchange.importing import import_files
    from evalcore.progress import progress_bars
    from evalcore.store import open_store
    from evalcore.tasks.prompt_sets import read_prompts

    known = [example for path in prompts or () for example in read_prompts(path)]
    with open_store(workspace, store) as opened, progress_bars() as begin:
        done = import_files(form, paths, opened, prompts=known, begin=begin)
    if as_json:
        print_json(done)
        return
    for name, title in _TITLES.items():
        if done.n_read[name]:
            print(f"{title}: {done.n_read[name]}, {done.n_new[name]} new")
    print(f"from {len(done.files)} file{'' if len(done.files) == 1 else 's'}")
    if done.n_skipped:
        print(f"{done.n_skipped} lines are no votes and were passed over", file=sys.stderr)
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)


_TITLES = {
    "example": "prompts",
    "generation": "answers",
    "comparison": "comparisons",
    "score": "scores",
    "eval_run": "runs",
}
"""What the tables hold, in words."""


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
    from evalcore.exchange.exports import FORMATS
    from evalcore.exchange.judged import judged_comparisons
    from evalcore.exchange.writing import Counted, write_rows
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
