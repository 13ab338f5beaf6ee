"""Opening a workspace: engine, pragmas, migrations, and plain words for what can go wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from evalcore.codec import to_json
from evalcore.errors import WorkspaceError
from evalcore.store.schema import SCHEMA_REVISION

__all__ = ["DATABASE_NAME", "explained", "is_there", "open_engine", "without_password"]

DATABASE_NAME = "parity.sqlite"
_MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(workspace: Path, store_url: str | None) -> Engine:
    """Open the workspace's database, or the one at a URL, and bring its tables up to date.

    Raises
    ------
    WorkspaceError
        If the folder can't be made or written, the URL can't be used, the file is no database, or
        the tables were written by a newer version.
    """
    where = without_password(store_url) if store_url else str(workspace / DATABASE_NAME)
    with explained(where):
        engine = _engine(workspace, store_url)
        _migrate(engine, where)
    return engine


def is_there(workspace: Path, store_url: str | None) -> bool:
    """Return whether there is something to read; a server is asked when it is opened."""
    if store_url is None:
        return (workspace / DATABASE_NAME).exists()
    with explained(store_url):
        url = sa.make_url(store_url)
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return not is_file or Path(str(url.database)).exists()


def without_password(store_url: str) -> str:
    """Return a URL for messages; what can't be read as one is not shown, as it may hold one."""
    try:
        return sa.make_url(store_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "--store"


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turn a database's or file system's error into one line that says what and where."""
    try:
        yield
    except (ArgumentError, NoSuchModuleError) as error:
        raise WorkspaceError(
            f"store URL can't be used: {error}; it must be such as "
            "postgresql+psycopg://USER@HOST/DATABASE or sqlite:///FILE"
        ) from error
    except ModuleNotFoundError as error:
        package = "'parity-eval[postgres]'" if error.name == "psycopg" else error.name
        raise WorkspaceError(
            f"store {where} needs the Python package {error.name!r}: pip install {package}"
        ) from error
    except DBAPIError as error:
        raise WorkspaceError(
            f"workspace {where}: {' '.join(str(error.orig).split())}; nothing was half-written"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        raise WorkspaceError(f"workspace {where}: {error}") from error


def _engine(workspace: Path, store_url: str | None) -> Engine:
    if store_url is None:
        workspace.mkdir(parents=True, exist_ok=True)
    url = _file_url(workspace / DATABASE_NAME) if store_url is None else store_url
    engine = sa.create_engine(url, json_serializer=to_json)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_pragmas)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _file_url(path: Path) -> sa.URL:
    """Return the URL of a file, which is only read where it or its folder can't be written.

    SQLite makes files beside one in WAL mode even to read it. Where it can't, and nobody else has
    made them, it has to be told that nobody writes meanwhile.
    """
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return sa.URL.create("sqlite", database=str(path))
    how = {"mode": "ro", "uri": "true"}
    if not path.with_name(f"{path.name}-wal").exists():
        how["immutable"] = "1"
    return sa.URL.create("sqlite", database=f"file:{quote(str(path.absolute()))}", query=how)


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin, not by sqlite3
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 30000")
    cursor.execute("PRAGMA journal_mode = WAL")
    # A killed process loses nothing in WAL mode; only a power cut can cost the last moments.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _migrate(engine: Engine, where: str) -> None:
    with engine.connect() as connection:
        if _revision(connection) == SCHEMA_REVISION:
            return
    # One process migrates, others wait for it and then find nothing to do.
    locking = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")
    with locking.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7072617269747)")
        if _revision(connection) != SCHEMA_REVISION:
            _upgrade(connection, where)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _upgrade(connection: Connection, where: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise WorkspaceError(
            f"workspace {where} was written by a newer version of parity "
            f"(schema {_revision(connection)}, this version knows {SCHEMA_REVISION}): update parity"
        ) from error
