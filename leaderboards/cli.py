"""The command ``parity leaderboard`` and those below it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import (
    JsonOption,
    StoreOption,
    WorkspaceOption,
    print_json,
    print_table,
)
from leaderboards.commandline import (
    BoardOptions,
    SyncOption,
    TrackingUriOption,
    with_board_options,
)

if TYPE_CHECKING:
    from evalcore.store import Store
    from leaderboards.request import BoardRequest
    from leaderboards.tracking import SyncResult

__all__ = ["deprecate", "diff", "leaderboard", "show", "snapshot", "snapshots"]

_WIDTH_OF_A_FILE = 200


@with_board_options
def leaderboard(
    context: typer.Context,
    options: BoardOptions,
    sync: SyncOption = False,
    tracking_uri: TrackingUriOption = None,
    board: Annotated[
        str, typer.Option("--board", metavar="NAME", help="Its MLflow experiment is parity/NAME.")
    ] = "main",
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve it as a page that keeps up with the votes.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 7861,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank models by scores, votes and verdicts, with intervals and statistical ties."""
    if context.invoked_subcommand is not None:
        return
    from evalcore.store import open_store
    from leaderboards.standings import standings

    request = options.request()
    with open_store(workspace, store, create=False) as opened:
        if serve:
            _serve(opened, request, host=host, port=port, as_json=as_json)
            return
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
        from evalcore.garbage import uncollected
        from leaderboards.form import board_form

        with uncollected():  # a hundred models on a hundred tasks have half a million pairs
            print_json({"leaderboard": board_form(ranked), "sync": synced}, indent=None)
        return
    from rich.console import Console

    from leaderboards.table import render

    console = Console(width=None if Console().is_terminal else _WIDTH_OF_A_FILE)
    console.print(render(ranked))
    if synced is not None:
        _say(synced)


def _serve(opened: Store, request: BoardRequest, *, host: str, port: int, as_json: bool) -> None:
    """Serve the reading page until interrupted."""
    from arena.board.page import create_board_app
    from arena.serving import Address, serve
    from leaderboards.reading import reader

    def ready(link: str) -> None:
        if as_json:
            print_json({"link": link})
        else:
            print(f"The leaderboard is open: {link}", flush=True)

    app = create_board_app(reader(opened, request))
    serve(app, Address(host=host, port=port), ready=ready)


@with_board_options
def snapshot(
    *,
    note: Annotated[str, typer.Option("--note", help="For people.")] = "",
    options: BoardOptions,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the leaderboard as it is, under the next number."""
    from evalcore.store import open_store
    from leaderboards.snapshots import take_snapshot
    from leaderboards.standings import standings

    request = options.request()
    with open_store(workspace, store, create=False) as opened:
        taken, is_new = take_snapshot(opened, standings(opened, request), note=note)
    if as_json:
        print_json({"number": taken.number, "is_new": is_new, "content_hash": taken.content_hash})
    elif is_new:
        print(f"Snapshot {taken.number}: {taken.content['summary']}")
    else:
        print(f"Nothing has changed since snapshot {taken.number}.")


def snapshots(
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the snapshots that were taken."""
    from evalcore.store import open_store

    with open_store(workspace, store, create=False) as opened:
        taken = opened.snapshots()
    rows = [
        {
            "number": item.number,
            "created_utc": item.created_utc,
            "note": item.note,
            "content_hash": item.content_hash,
        }
        for item in taken
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


def show(
    number: Annotated[int, typer.Argument(metavar="N", min=1, help="Of the snapshot.")],
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a snapshot; its content is checked against its hash."""
    from evalcore.store import open_store
    from leaderboards.snapshot_table import snapshot_rows

    with open_store(workspace, store, create=False) as opened:
        found = opened.snapshot(number)
    if as_json:
        print_json(found)
        return
    print(f"Snapshot {found.number}, {found.created_utc}. {found.note}".rstrip())
    print(found.content["summary"])
    print_table(snapshot_rows(found.content))
    for warning in found.content["warnings"]:
        print(f"note: {warning}")


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Number of a snapshot.")],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="Number of a snapshot, or now.")
    ] = "now",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what changed between two snapshots, or since one, and why."""
    from evalcore.store import open_store
    from leaderboards.changes import board_changes, change_lines
    from leaderboards.snapshots import NOW, as_asked, snapshot_content, stored_content
    from leaderboards.standings import standings

    with open_store(workspace, store, create=False) as opened:
        before = stored_content(opened, old)
        if new == NOW:
            after = snapshot_content(opened, standings(opened, as_asked(before)))
        else:
            after = stored_content(opened, new)
    changes = board_changes(before, after, names=(old, new))
    if as_json:
        print_json(changes)
    else:
        print("\n".join(change_lines(changes)))


def deprecate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name on the leaderboard.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; readers see it.")],
    undo: Annotated[bool, typer.Option("--undo", help="It is deprecated no more.")] = False,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record that a model is not to be used any more; its row stays and says so."""
    from evalcore.store import open_store
    from leaderboards import deprecation

    with open_store(workspace, store, create=False) as opened:
        change = deprecation.restore if undo else deprecation.deprecate
        spec = change(opened, model, reason=reason)
    said = "deprecated no more" if undo else "deprecated"
    if as_json:
        print_json({"model": spec.name, "fingerprint": spec.fingerprint, "is": said})
    else:
        print(f"{spec.name} is {said}: {reason}")


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
