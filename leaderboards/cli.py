"""The command ``parity leaderboard``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.codec import jsonable
from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from leaderboards.commandline import SyncOption, TrackingUriOption

if TYPE_CHECKING:
    from leaderboards.records import Leaderboard
    from leaderboards.tracking import SyncResult

__all__ = ["leaderboard"]

_WIDTH_OF_A_FILE = 200


def leaderboard(
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", metavar="TASK", help="Rank by these tasks only; repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME", help="Rank these models only; repeatable."),
    ] = None,
    sync: SyncOption = False,
    tracking_uri: TrackingUriOption = None,
    board: Annotated[
        str, typer.Option("--board", metavar="NAME", help="Its MLflow experiment is parity/NAME.")
    ] = "main",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the evaluated models, with intervals and groups that are statistically tied."""
    from evalcore.store import open_store
    from leaderboards.standings import standings

    with open_store(workspace, store, create=False) as opened:
        ranked = standings(opened, tasks=task, models=model)
        synced = None
        if sync or tracking_uri is not None:
            from leaderboards.tracking import sync as sync_with_mlflow

            synced = sync_with_mlflow(
                ranked,
                opened,
                tracking_uri=tracking_uri or f"sqlite:///{workspace / 'mlflow.db'}",
                board=board,
                artifacts=None if tracking_uri else workspace / "mlartifacts",
            )
    if as_json:
        print_json({"leaderboard": _form(ranked), "sync": synced})
        return
    from rich.console import Console

    from leaderboards.table import render

    console = Console(width=None if Console().is_terminal else _WIDTH_OF_A_FILE)
    console.print(render(ranked))
    if synced is not None:
        _say(synced)


def _form(ranked: Leaderboard) -> dict[str, object]:
    """Give the leaderboard as JSON: the runs behind it stay in the workspace."""
    from leaderboards.words import summary

    columns = [jsonable(replace(column, runs={})) for column in ranked.columns]
    return {
        "summary": summary(ranked),
        "rating": ranked.rating_title,
        "confidence_level": ranked.confidence_level,
        "standings": [
            {"fingerprint": standing.model.fingerprint, **jsonable(standing)}
            for standing in ranked.standings
        ],
        "columns": [
            {key: value for key, value in column.items() if key != "runs"} for column in columns
        ],
        "pairs": ranked.pairs,
        "warnings": ranked.warnings,
    }


def _say(synced: SyncResult) -> None:
    """Tell what was written, and how to look at it."""
    print(
        f"\nMLflow experiment {synced.experiment}: {synced.n_created} runs written, "
        f"{synced.n_unchanged} there already, {synced.n_retired} outdated ones retired."
    )
    if synced.tracking_uri.startswith("http"):
        print(f"Open {synced.tracking_uri.rstrip('/')}{synced.page}")
    else:
        print(synced.command)
        print(f"then open http://127.0.0.1:5000{synced.page}")
