"""What is known of a person, and how it is forgotten.

Addresses are stored as a keyed hash alone. Each day has a key of its own, drawn at random; when the
day is over its key is deleted, and with it the way from an address to its hashes.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena import audit
from arena.clock import utc_text
from arena.records import BattleStatus
from evalcore.store import arena_schema as tables
from evalcore.store import schema
from evalcore.store.database import KEYS_PER_QUERY, insert_rows

__all__ = ["AddressHasher", "apply_retention", "forget_rater"]

_DAY_MS = 24 * 3600 * 1000


class AddressHasher:
    """Hashes addresses with the day's key, the same one on all replicas."""

    def __init__(self) -> None:
        self._period = ""
        self._key = b""

    def hash(self, connection: Connection, address: str | None, *, now_ms: int) -> str | None:
        """Return an address's hash of today; None if there is no address.

        The first call of a day makes the day's key and deletes those of earlier days.
        """
        if address is None:
            return None
        period = utc_text(now_ms)[:10]
        if period != self._period:
            self._key = self._turn(connection, period)
            self._period = period
        return hmac.digest(self._key, address.encode(), "sha256")[:16].hex()

    @staticmethod
    def _turn(connection: Connection, period: str) -> bytes:
        keys = tables.ip_key
        insert_rows(connection, keys, [{"period": period, "key": secrets.token_hex(32)}])
        connection.execute(keys.delete().where(keys.c.period < period))
        found = connection.execute(sa.select(keys.c.key).where(keys.c.period == period))
        return bytes.fromhex(found.scalar_one())


def forget_rater(
    connection: Connection, rater_id: str, *, votes: Literal["keep", "delete"], now_ms: int
) -> int:
    """Delete what is known of a rater; return how many votes that touched.

    Account, consent, comments, address hashes and everything typed go in both cases. ``keep``
    leaves the votes under a new pseudonym that nothing leads to; ``delete`` takes them and their
    battles away too. The audit log keeps that it happened and how many votes, not whose, and how
    many of them were of locked studies, whose exports stay what they are.
    """
    battle_ids = list(
        connection.scalars(sa.select(tables.battle.c.id).where(tables.battle.c.rater == rater_id))
    )
    mine = tables.vote.c.rater == rater_id
    count = sa.select(sa.func.count()).select_from(tables.vote).where(mine)
    n_votes = int(connection.execute(count).scalar_one())
    of_locked = count.join(tables.battle, tables.battle.c.id == tables.vote.c.battle_id).join(
        tables.study, tables.study.c.name == tables.battle.c.study
    )
    locked = of_locked.where(tables.study.c.status == "locked")
    n_after_lock = int(connection.execute(locked).scalar_one())
    for table in (tables.rater, tables.consent):
        column = table.c.id if table is tables.rater else table.c.rater
        connection.execute(table.delete().where(column == rater_id))
    _forget_words(connection, battle_ids)
    if votes == "delete":
        _delete_battles(connection, battle_ids)
    else:
        _rename(connection, rater_id)
    detail = {"votes": votes, "n_votes": n_votes, "n_after_lock": n_after_lock}
    audit.record(connection, "rater", action="forget", target="rater", detail=detail, now_ms=now_ms)
    return n_votes


def apply_retention(connection: Connection, *, retention_days: int, now_ms: int) -> int:
    """Forget what people wrote, and from where, in battles older than this; return how many."""
    columns = tables.battle.c
    old = sa.select(columns.id).where(
        columns.created_ms < now_ms - retention_days * _DAY_MS, ~columns.forgotten
    )
    battle_ids = list(connection.scalars(old))
    _forget_words(connection, battle_ids)
    return len(battle_ids)


def _forget_words(connection: Connection, battle_ids: Sequence[str]) -> None:
    for some in _chunks(battle_ids):
        vote, event, battle = tables.vote, tables.vote_event, tables.battle
        connection.execute(
            vote.update().where(vote.c.battle_id.in_(some)).values(comment="", ip_hash=None)
        )
        query = sa.select(event.c.id, event.c.detail).where(event.c.battle_id.in_(some))
        for row in connection.execute(query).all():
            if row.detail.get("comment"):
                detail = {**row.detail, "comment": ""}
                connection.execute(event.update().where(event.c.id == row.id).values(detail=detail))
        typed = sa.select(battle.c.id, battle.c.example_id).where(
            battle.c.id.in_(some), battle.c.typed
        )
        found = connection.execute(typed).all()
        _forget_prompts(connection, [row.id for row in found])
        _forget_examples(connection, {row.example_id for row in found}, battle_ids=some)
        connection.execute(battle.update().where(battle.c.id.in_(some)).values(forgotten=True))


def _forget_prompts(connection: Connection, battle_ids: Sequence[str]) -> None:
    """Empty prompts and the answers to them, which repeat what was asked."""
    turn, answer = tables.turn, tables.answer
    connection.execute(turn.update().where(turn.c.battle_id.in_(battle_ids)).values(prompt=[]))
    connection.execute(answer.update().where(answer.c.battle_id.in_(battle_ids)).values(text=""))


def _forget_examples(
    connection: Connection, example_ids: Collection[str], *, battle_ids: Sequence[str]
) -> None:
    """Empty examples that nobody else's battle has; the id stays, for the comparisons."""
    battle, example = tables.battle, schema.example
    for example_id in example_ids:
        others = sa.select(battle.c.id).where(
            battle.c.example_id == example_id, battle.c.id.not_in(battle_ids), ~battle.c.forgotten
        )
        if connection.execute(others).first() is None:
            blank = {"id": example_id, "messages": []}
            connection.execute(
                example.update().where(example.c.id == example_id).values(content=blank)
            )


def _delete_battles(connection: Connection, battle_ids: Sequence[str]) -> None:
    comparison = schema.comparison
    for battle_id in battle_ids:
        names = comparison.c.id.like(f"{battle_id}%")
        connection.execute(comparison.delete().where(names))
    for some in _chunks(battle_ids):
        for table in (tables.vote, tables.vote_event, tables.turn, tables.answer, tables.exposure):
            connection.execute(table.delete().where(table.c.battle_id.in_(some)))
        connection.execute(tables.battle.delete().where(tables.battle.c.id.in_(some)))


def _rename(connection: Connection, rater_id: str) -> None:
    """Give votes a new pseudonym; an open battle ends, since its rater is gone."""
    new = secrets.token_hex(16)
    battle, comparison = tables.battle, schema.comparison
    waiting = (BattleStatus.CREATED, BattleStatus.STREAMING, BattleStatus.READY)
    mine = battle.c.rater == rater_id
    connection.execute(
        battle.update()
        .where(mine, battle.c.status.in_(waiting))
        .values(status=BattleStatus.EXPIRED, reason="forgotten")
    )
    connection.execute(battle.update().where(mine).values(rater=new, open_for=None))
    for table in (tables.vote, tables.exposure):
        connection.execute(table.update().where(table.c.rater == rater_id).values(rater=new))
    human = comparison.c.rater_kind == "human"
    connection.execute(
        comparison.update().where(comparison.c.rater == rater_id, human).values(rater=new)
    )


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), KEYS_PER_QUERY):
        yield items[start : start + KEYS_PER_QUERY]
