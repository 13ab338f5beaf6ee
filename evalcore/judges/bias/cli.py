"""The command ``parity judge report``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError
from leaderboards.commandline import SyncOption, TrackingUriOption, UnderWayOption

if TYPE_CHECKING:
    from rich.table import Table

    from evalcore.judges.bias.contests import JudgedContest
    from evalcore.judges.bias.report import BiasReport
    from evalcore.records import Estimate
    from evalcore.store import Store

__all__ = ["report"]


def report(
    judge: Annotated[
        list[str] | None,
        typer.Option("--judge", "-j", metavar="NAME", help="Only these judges; repeatable."),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            "--own", metavar="MODEL", help="A model that is the judge itself; repeatable."
        ),
    ] = None,
    people: Annotated[
        list[str] | None,
        typer.Option(
            "--people",
            metavar="PREFIX",
            help="Only votes of people whose names begin so, such as expert_; repeatable.",
        ),
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    under_way: UnderWayOption = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it as an HTML page, too."),
    ] = None,
    sync: SyncOption = False,
    tracking_uri: TrackingUriOption = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how far a judge can be believed: its biases, and its agreement with people."""
    from evalcore.store import open_store

    if output is not None and output.suffix not in (".html", ".htm"):
        raise InputError(f"--output must end in .html; got {output}")
    with open_store(workspace, store, create=False) as opened:
        reports = _reports(
            opened, judge, own=own or (), people=people or (), under_way=under_way, level=level
        )
        synced = None
        if sync or tracking_uri is not None:
            from leaderboards.judging import sync_judging

            synced = sync_judging(
                reports,
                opened,
                tracking_uri=tracking_uri or f"sqlite:///{workspace / 'mlflow.db'}",
                artifacts=None if tracking_uri else workspace / "mlartifacts",
            )
    if output is not None:
        from reports.judges import judge_page
        from reports.writing import write_text

        write_text(output, judge_page(reports))
    if as_json:
        print_json({"judges": reports, "report": output and str(output), "sync": synced})
        return
    for found in reports:
        _print_report(found)
    if output is not None:
        print(f"Report: {output}")
    if synced is not None:
        print(f"MLflow experiment {synced.experiment}: {synced.n_created} runs written, ", end="")
        print(f"{synced.n_unchanged} there already.")


def _reports(
    store: Store,
    judges: Sequence[str] | None,
    *,
    own: Sequence[str],
    people: Sequence[str],
    under_way: bool,
    level: float,
) -> list[BiasReport]:
    from evalcore.errors import InputError
    from evalcore.judges.bias.evidence import gather, judges_of
    from evalcore.judges.bias.report import bias_report

    names = judges or judges_of(store)
    if not names:
        raise InputError(
            f"workspace {store.where} has no comparisons by a judge yet; make some with: "
            "parity judge -m A -m B -p PROMPTS -j JUDGE"
        )
    if own and len(names) > 1:
        raise InputError(f"--own needs one --judge; got {', '.join(names)}")
    return [
        bias_report(gather(store, name, own=own, people=people, under_way=under_way), level=level)
        for name in names
    ]


def _print_report(found: BiasReport) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from evalcore.judges.bias.words import lines

    console = Console(width=None if Console().is_terminal else 160)
    counts = f"{found.n_verdicts} verdicts, {found.n_unscored} unscored, {found.n_votes} votes"
    cost = "" if found.cost_usd is None else f", ${found.cost_usd:.2f}"
    console.print(f"\n[bold]{escape(found.judge)}[/bold]: {counts} of people{cost}")
    table = Table(box=None, pad_edge=False, show_header=False)
    heading = ""
    for line in lines(found):
        shown = "" if line.heading == heading else line.heading
        heading = line.heading
        table.add_row(*map(escape, (shown, line.what, line.value, line.meaning)))
    console.print(table)
    console.print(_contest_table(found.contests, flagged=found.flagged))
    for warning in found.warnings:
        print(f"warning: {found.judge}: {warning}", file=sys.stderr)


def _contest_table(contests: Sequence[JudgedContest], *, flagged: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from evalcore.judges.bias.words import percent

    columns = ["judge", "shown 1st / 2nd", "at equal length", "calibrated", "people", "fused"]
    table = Table("model", "opponent", *columns, box=SIMPLE_HEAD)
    for row in contests:
        estimates = (row.at_equal_length, row.calibrated, row.people, row.fused)
        names = [f"{n} ⚠" if n in flagged else n for n in (row.model, row.opponent)]
        table.add_row(
            *map(escape, names),
            percent(row.judge),
            f"{_short(row.shown_first)} / {_short(row.shown_second)}",
            *("–" if item is None else percent(item) for item in estimates),
        )
    return table


def _short(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{100 * estimate.value:.1f}"
