"""The workspace: one database of append-only facts, and what is derived from them."""

from __future__ import annotations

from pathlib import Path

from evalcore.store.opening import open_engine
from evalcore.store.store import ScoreTable, Store

__all__ = ["ScoreTable", "Store", "open_store"]


def open_store(workspace: Path, store_url: str | None = None) -> Store:
    """Open a workspace, making it if it isn't there.

    Parameters
    ----------
    workspace
        Folder of results; the database lies in it unless a URL is given.
    store_url
        SQLAlchemy URL of a database to use instead.

    Raises
    ------
    WorkspaceError
        If it can't be made, read or written, or was written by a newer version.
    """
    return Store(open_engine(workspace, store_url), where=store_url or str(workspace))
