"""The command ``parity leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from leaderboards.commandline import (
    ByOption,
    CategoryOption,
    CommonOption,
    LicenceOption,
    MarginOption,
    ModelOption,
    OpenStackOption,
    QuantizationOption,
    RatersOption,
    ReferenceOption,
    SizeOption,
    SyncOption,
    TaskOption,
    TrackingUriOption,
)

if TYPE_CHECKING:
    from leaderboards.tracking import SyncResult

__all__ = ["leaderboard"]

_WIDTH_OF_A_FILE = 200


def leaderboard(
    context: typer.Context,
    task: TaskOption = None,
    model: ModelOption = None,
    by: ByOption = None,
    raters: RatersOption = None,
    reference: ReferenceOption = None,
    margin: MarginOption = 0.05,
    category: CategoryOption = None,
    licence: LicenceOption = None,
    open_stack: OpenStackOption = False,
    size: SizeOption = None,
    quantization: QuantizationOption = None,
    common: CommonOption = False,
    sync: SyncOption = False,
    tracking_uri: TrackingUriOption = None,
    board: Annotated[
        str, typer.Option("--board", metavar="NAME", help="Its MLflow experiment is parity/NAME.")
    ] = "main",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank models by scores, votes and verdicts, with intervals and statistical ties."""
    if context.invoked_subcommand is not None:
        return
    from evalcore.store import open_store
    from leaderboards.asking import board_request
    from leaderboards.standings import standings

    request = board_request(
        tasks=task,
        models=model,
        by=by,
        raters=raters,
        reference=reference,
        margin=margin,
        category=category,
        licences=licence,
        open_stack=open_stack,
        size=size,
        quantizations=quantization,
        common=common,
    )
    with open_store(workspace, store, create=False) as opened:
        ranked = standings(opened, request)
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
        from leaderboards.form import board_form

        print_json({"leaderboard": board_form(ranked), "sync": synced})
        return
    from rich.console import Console

    from leaderboards.table import render

    console = Console(width=None if Console().is_terminal else _WIDTH_OF_A_FILE)
    console.print(render(ranked))
    if synced is not None:
        _say(synced)


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
