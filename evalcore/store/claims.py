"""Claims: who is making which paid call, so that two processes never make the same one."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evalcore.hashing import content_hash
from evalcore.records import utc_now
from evalcore.store import schema
from evalcore.store.database import KEYS_PER_QUERY, Database, insert_rows

__all__ = ["Claims"]

_LIFE_S = 120.0
_RENEWALS = 4  # in a claim's life, so that one late heartbeat loses nothing


class Claims(Database):
    """What processes are about to pay for.

    A claim ends when it is released, when its process is found dead on this machine, or, of a
    process elsewhere, two minutes after its last heartbeat.
    """

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Keep this process's claims alive in the background, and release them at the end."""
        ended = threading.Event()
        heartbeat = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        heartbeat.start()
        try:
            yield
        finally:
            ended.set()
            heartbeat.join()
            self._release()

    def claim(self, fingerprint: str, keys: Sequence[str]) -> set[str]:
        """Take the requests that no other living process has taken; return those that are ours."""
        owner, claim = _owner(), schema.claim.c
        shared = {"fingerprint": fingerprint, "owner": owner, "expires_utc": _expiry()}
        ours: set[str] = set()
        with self._writing() as connection:
            _bury_the_dead(connection)
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                rows = [{**shared, "request_key": key} for key in some]
                insert_rows(connection, schema.claim, rows)
                query = sa.select(claim.request_key).where(
                    claim.fingerprint == fingerprint,
                    claim.request_key.in_(some),
                    claim.owner == owner,
                )
                ours |= set(connection.scalars(query))
        return ours

    def _beat(self, ended: threading.Event) -> None:
        mine = schema.claim.c.owner == _owner()
        while not ended.wait(_LIFE_S / _RENEWALS):
            with self._writing() as connection:
                connection.execute(schema.claim.update().where(mine).values(expires_utc=_expiry()))

    def _release(self) -> None:
        with self._writing() as connection:
            connection.execute(schema.claim.delete().where(schema.claim.c.owner == _owner()))


def _bury_the_dead(connection: Connection) -> None:
    # The deletion comes first: it takes SQLite's write lock before anything is read.
    claim = schema.claim.c
    is_elsewhere = ~claim.owner.startswith(f"{_machine()}:")
    connection.execute(schema.claim.delete().where(is_elsewhere, claim.expires_utc < utc_now()))
    owners = connection.scalars(sa.select(claim.owner).where(~is_elsewhere).distinct())
    dead = [owner for owner in owners if _is_dead(owner)]
    connection.execute(schema.claim.delete().where(claim.owner.in_(dead)))


def _expiry() -> str:
    return (datetime.now(UTC) + timedelta(seconds=_LIFE_S)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owner() -> str:
    """Name this process: the machine, its number, and when it began."""
    return f"{_machine()}:{os.getpid()}:{_began(os.getpid())}"


def _is_dead(owner: str) -> bool:
    """Tell whether a process of this machine has ended."""
    _, pid, began = owner.split(":")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # alive, and another user's
    return _began(int(pid)) != began


@cache
def _machine() -> str:
    try:
        numbers_of_processes = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux: one set of process numbers a machine
        numbers_of_processes = ""
    return content_hash([socket.gethostname(), numbers_of_processes])[:8]


def _began(pid: int) -> str:
    """When a process began, in clock ticks; its number may be a later process's by now."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()
    state, began = fields[0], fields[19]
    return "" if state in "ZX" else began
