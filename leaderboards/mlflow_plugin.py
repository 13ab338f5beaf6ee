"""A workspace as an address that MLflow knows: ``parity:///path/to/out``.

MLflow loads this module whenever it is imported, as an entry point of this distribution; what is
heavy is imported when such an address is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore

__all__ = ["registry_store", "tracking_store", "workspace_of"]


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> TrackingStore:
    """Open the mirror of a workspace; it is made if there is none.

    Parameters
    ----------
    store_uri
        Such as ``parity:///home/me/out``, or ``parity://out`` for a folder beside.
    artifact_uri
        Where new experiments have their files; in the workspace if not given.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = workspace_of(store_uri)
    return SqlAlchemyStore(_database(folder), artifact_uri or (folder / "mlartifacts").as_uri())


def registry_store(store_uri: str) -> RegistryStore:
    """Open the same database as MLflow's model registry."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    return SqlAlchemyStore(_database(workspace_of(store_uri)))


def workspace_of(store_uri: str) -> Path:
    """Return the folder that an address names.

    Examples
    --------
    >>> workspace_of("parity:///data/my%20study").as_posix()
    '/data/my study'
    """
    parts = urlsplit(store_uri)
    return Path(unquote(parts.netloc + parts.path)).resolve()


def _database(folder: Path) -> str:
    """Return the mirror's address, after a first synchronisation where there was none."""
    from evalcore.store import open_store

    path = folder / "mlflow.db"
    uri = f"sqlite:///{path}"
    if not path.exists():
        from leaderboards.standings import standings
        from leaderboards.tracking import sync

        with open_store(folder, create=False) as store:
            sync(standings(store), store, tracking_uri=uri, artifacts=folder / "mlartifacts")
    return uri
