"""The commands ``parity import`` and ``parity export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError

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
    from evalcore.exchange.importing import check_format, import_files
    from evalcore.progress import progress_bars
    from evalcore.store import open_store
    from evalcore.tasks.prompt_sets import read_prompts

    check_format(form)
    found = [path for path in paths if not path.exists()]
    if found:
        raise InputError(f"{found[0]}: no such file or folder")
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
        told = "lines are no votes on two models and were passed over"
        print(f"{done.n_skipped} {told}", file=sys.stderr)
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
        str,
        typer.Argument(
            metavar="FORMAT",
            help="votes, lmarena, trl_dpo, trl_reward or trl_kto, of votes; alpaca_eval, of "
            "answers; lm_eval, model_card or every_eval_ever, of runs.",
        ),
    ],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="File that ends in .jsonl, .json, .parquet or .csv; for runs a folder.",
        ),
    ],
    raters: Annotated[
        list[str] | None,
        typer.Option(
            "--raters",
            metavar="KIND",
            help="human (default), judge, rule or simulated; repeatable.",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="Answers or runs of this model; repeatable."
        ),
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the workspace's votes, answers or runs for other tools; people go by pseudonyms."""
    from evalcore.exchange.answer_exports import export_alpaca_eval
    from evalcore.exchange.exporting import export_votes
    from evalcore.exchange.run_exports import RUN_FORMATS, export_runs
    from evalcore.exchange.vote_exports import FORMATS
    from evalcore.rater_kinds import rater_kinds
    from evalcore.store import open_store

    known = (*FORMATS, "alpaca_eval", *RUN_FORMATS)
    if form not in known:
        raise InputError(f"FORMAT must be one of {', '.join(known)}; got {form!r}")
    kinds = rater_kinds(raters, default=("human",))
    with open_store(workspace, store, create=False) as opened:
        if form in RUN_FORMATS:
            done = export_runs(form, path, opened, models=models)
        elif form == "alpaca_eval":
            done = export_alpaca_eval(path, opened, models=models)
        else:
            done = export_votes(form, path, opened, kinds=kinds)
    facts = "runs" if form in RUN_FORMATS else "answers" if form == "alpaca_eval" else "votes"
    if as_json:
        rows = "files" if form in RUN_FORMATS else "rows"
        counts = {facts: done.n_facts, rows: done.n_rows, "left_out": done.left_out}
        print_json({"path": str(path), "format": form, **counts})
        return
    print(
        f"{path}: {done.n_rows} {'files' if facts == 'runs' else 'rows'} of {done.n_facts} {facts}"
    )
    for reason, count in done.left_out.items():
        print(f"{count} {_REASONS[reason]} and make no rows", file=sys.stderr)


_REASONS = {
    "ties": "votes prefer neither answer",
    "without_answers": "votes are on answers that are not stored",
    "several_messages": "answers are to more than one message",
}
"""Why facts make no rows, in words."""
