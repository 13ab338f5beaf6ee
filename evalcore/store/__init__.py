"""The workspace: one database of append-only facts, and what is derived from them."""

from __future__ import annotations

from pathlib import Path

from evalcore.errors import WorkspaceError
from evalcore.store import arena_schema, board_schema
from evalcore.store.opening import is_there, open_engine, without_password
from evalcore.store.store import ScoreTable, Store

__all__ = ["ScoreTable", "Store", "arena_schema", "board_schema", "open_store"]


def open_store(workspace: Path, store_url: str | None = None, *, create: bool = True) -> Store:
    """Open a workspace.

    Parameters
    ----------
    workspace
        Folder of results; the database lies in it unless a URL is given.
    store_url
        SQLAlchemy URL of a database to use instead.
    create
        Make the workspace if it isn't there; what only reads refuses to.

    Raises
    ------
    WorkspaceError
        If it isn't there, can't be made, read or written, or was written by a newer version.
    """
    where = without_password(store_url) if store_url else str(workspace)
    if not create and not is_there(workspace, store_url):
        raise WorkspaceError(f"no workspace in {where}; parity eval or generate makes one")
    return Store(open_engine(workspace, store_url), where=where)
