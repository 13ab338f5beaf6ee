"""Who agreed to which text, and when."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.clock import utc_text
from arena.records import Rater
from evalcore.store.arena_schema import consent, rater
from evalcore.store.database import insert_rows

__all__ = ["add_rater", "give_consent", "has_consented", "rater_of_account"]


def add_rater(connection: Connection, who: Rater, *, now_ms: int) -> None:
    """Remember a rater; again, it changes nothing."""
    row = {
        "id": who.id,
        "kind": who.origin,
        "account": who.account,
        "created_utc": utc_text(now_ms),
    }
    insert_rows(connection, rater, [row])


def rater_of_account(connection: Connection, account: str) -> Rater | None:
    """Return the rater behind an account; None before the first sign-in."""
    row = connection.execute(rater.select().where(rater.c.account == account)).first()
    return None if row is None else Rater(id=row.id, origin=row.kind, account=row.account)


def has_consented(connection: Connection, rater_id: str, *, study: str, version: str) -> bool:
    """Whether a rater agreed to this version of a study's text; an empty version asks nothing."""
    if not version:
        return True
    given = sa.select(consent.c.created_utc).where(
        consent.c.rater == rater_id, consent.c.study == study, consent.c.version == version
    )
    return connection.execute(given).first() is not None


def give_consent(
    connection: Connection, who: Rater, *, study: str, version: str, now_ms: int
) -> None:
    """Note that a rater agrees; again, it changes nothing."""
    add_rater(connection, who, now_ms=now_ms)
    row = {
        "rater": who.id,
        "study": study,
        "version": version,
        "created_utc": utc_text(now_ms),
    }
    insert_rows(connection, consent, [row])
