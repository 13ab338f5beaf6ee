"""The audit log: what administrators and the service did, each entry bound to the one before.

An entry's hash covers its content and the hash of the entry before it, so that an entry that was
changed, removed or put in between is found by :func:`first_broken_entry`. Who can rewrite the whole
table can make a whole new chain: publish the last hash with an export to hold the log to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.clock import utc_text
from evalcore.codec import jsonable
from evalcore.hashing import content_hash
from evalcore.store.arena_schema import audit

__all__ = ["first_broken_entry", "last_hash", "record", "serialise"]


def record(
    connection: Connection,
    actor: str,
    *,
    action: str,
    target: str,
    detail: Mapping[str, Any],
    now_ms: int,
) -> None:
    """Append an entry.

    Parameters
    ----------
    connection
        Within a transaction.
    actor
        Account, or ``system``.
    action
        What was done, such as ``void``.
    target
        What to, such as a battle's id.
    detail
        JSON-like, with the reason.
    now_ms
        The time.
    """
    serialise(connection, "audit")
    entry = {
        "actor": actor,
        "action": action,
        "target": target,
        "detail": jsonable(detail),
        "created_utc": utc_text(now_ms),
    }
    entry["entry_hash"] = content_hash([last_hash(connection), entry])
    connection.execute(audit.insert(), entry)


def last_hash(connection: Connection) -> str:
    """Return the newest entry's hash; empty for an empty log."""
    newest = sa.select(audit.c.entry_hash).order_by(audit.c.id.desc()).limit(1)
    found: str | None = connection.execute(newest).scalar()
    return found or ""


def first_broken_entry(connection: Connection) -> int | None:
    """Return the id of the first entry that does not fit the one before; None if all do."""
    before = ""
    for row in connection.execute(audit.select().order_by(audit.c.id)):
        entry = row._asdict()
        number, found = entry.pop("id"), entry.pop("entry_hash")
        if found != content_hash([before, entry]):
            return int(number)
        before = found
    return None


def serialise(connection: Connection, what: str) -> None:
    """Let nobody else do the same until this transaction ends; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        key = int(content_hash(what)[:15], 16)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
