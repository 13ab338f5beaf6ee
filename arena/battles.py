"""Battles in the database: opened, resumed, answered, ended. Votes are in :mod:`arena.votes`.

Every function works within its caller's transaction.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from arena.clock import utc_text
from arena.keys import Keys, token_hash
from arena.records import (
    Answer,
    Battle,
    BattleStatus,
    Form,
    Pairing,
    Rater,
    Turn,
)
from arena.refusals import Refused
from evalcore.codec import example_from, jsonable
from evalcore.hashing import content_hash
from evalcore.records import Example, Message
from evalcore.store import arena_schema as tables
from evalcore.store import schema
from evalcore.store.database import insert_rows

__all__ = [
    "Opening",
    "OtherOpenError",
    "add_turn",
    "battle_from",
    "close",
    "draw_sides",
    "find_battle",
    "find_by_token",
    "longer_example",
    "mark_streaming",
    "open_battle",
    "open_battle_of",
    "overdue_battles",
    "set_status",
    "store_answers",
    "turns",
]

_SEED_BITS = 48
_OPEN = (BattleStatus.CREATED, BattleStatus.STREAMING, BattleStatus.READY)


class OtherOpenError(Exception):
    """Another request of the same rater has opened a battle at the same moment; resume that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """For whom, where and when a battle is opened."""

    rater: Rater
    study: str
    now_ms: int
    lifetime_s: int
    typed: bool = False
    """Whether the prompt is the rater's own words, to be forgotten with the rater."""


def open_battle(
    connection: Connection, pairing: Pairing, opening: Opening, *, keys: Keys
) -> Battle:
    """Write a battle with its sides, token, first turn and stored answers.

    Sides that the pairing leaves open are drawn from a seed that is stored with them.

    Raises
    ------
    OtherOpenError
        If the rater has an open battle here; another replica may have been faster.
    """
    battle_id = secrets.token_hex(16)
    seed = secrets.randbits(_SEED_BITS) if pairing.side_seed is None else pairing.side_seed
    sides = pairing.sides or draw_sides(len(pairing.models), seed)
    row = {
        "id": battle_id,
        "token_hash": token_hash(keys.token(battle_id, opening.rater.id)),
        "rater": opening.rater.id,
        "open_for": f"{opening.rater.id}:{opening.study}",
        "study": opening.study,
        "item": pairing.item,
        "example_id": pairing.example.id,
        "models": pairing.models,
        "names": pairing.names,
        "sides": sides,
        "side_seed": seed,
        "form": jsonable(pairing.form),
        "rated": pairing.rated,
        "status": BattleStatus.CREATED if pairing.answers is None else BattleStatus.READY,
        "category": pairing.category,
        "note": pairing.note,
        "flags": jsonable(pairing.flags),
        "timings": {},
        "typed": opening.typed,
        "forgotten": False,
        "created_ms": opening.now_ms,
        "ready_ms": None if pairing.answers is None else opening.now_ms,
        "expires_ms": opening.now_ms + 1000 * (pairing.lifetime_s or opening.lifetime_s),
        "created_utc": utc_text(opening.now_ms),
    }
    if not connection.execute(_insert_battle(connection), row).rowcount:
        raise OtherOpenError
    example = pairing.example
    insert_rows(connection, schema.example, [{"id": example.id, "content": jsonable(example)}])
    _insert_stored(connection, pairing, battle_id, sides=sides, now_ms=opening.now_ms)
    return find_battle(connection, battle_id)


def draw_sides(n_models: int, seed: int) -> tuple[int, ...]:
    """Return the place shown at each position: a permutation of ``range(n_models)``."""
    sides = list(range(n_models))
    random.Random(seed).shuffle(sides)  # noqa: S311 - to be repeated from its seed, not a secret
    return tuple(sides)


def find_battle(connection: Connection, battle_id: str) -> Battle:
    """Return a battle by id.

    Raises
    ------
    Refused
        ``unknown_battle``.
    """
    return _one(connection, tables.battle.c.id == battle_id)


def find_by_token(connection: Connection, token: str, rater_id: str) -> Battle:
    """Return the battle of a token, if it is this rater's.

    Raises
    ------
    Refused
        ``unknown_battle``, also for a token that is somebody else's.
    """
    row = connection.execute(_BY_TOKEN, {"hash": token_hash(token), "who": rater_id}).first()
    if row is None:
        raise Refused("unknown_battle")
    return battle_from(row)


def open_battle_of(connection: Connection, rater_id: str, study: str) -> Battle | None:
    """Return the battle to resume: not ended, or voted but with its names untold."""
    row = connection.execute(_BY_OPEN, {"open": f"{rater_id}:{study}"}).first()
    return None if row is None else battle_from(row)


def overdue_battles(connection: Connection, now_ms: int) -> list[Battle]:
    """Return battles that waited for a vote too long."""
    columns = tables.battle.c
    query = tables.battle.select().where(columns.status.in_(_OPEN), columns.expires_ms < now_ms)
    return [battle_from(row) for row in connection.execute(query)]


def set_status(
    connection: Connection,
    battle: Battle,
    status: BattleStatus,
    *,
    reason: str | None = None,
    is_sealed: bool = False,
) -> Battle:
    """End, reopen or move on a battle; return it as it is now.

    ``ready`` and, until it is sealed, ``voted`` leave it the rater's present battle.
    """
    is_open = status in _OPEN or (status is BattleStatus.VOTED and not is_sealed)
    row = {
        "battle": battle.id,
        "new_status": status,
        "new_open": f"{battle.rater}:{battle.study}" if is_open else None,
        "new_reason": reason,
    }
    connection.execute(_SET_STATUS, row)
    return replace(battle, status=status, is_open=is_open)


def close(connection: Connection, battle: Battle) -> None:
    """Let the rater go on to the next battle, whatever this one's status."""
    connection.execute(_CLOSE, {"battle": battle.id})


def turns(connection: Connection, battle: Battle) -> tuple[Turn, ...]:
    """Return what was asked and answered, in order."""
    asked = connection.execute(_TURNS, {"battle": battle.id}).all()
    said: dict[int, list[Answer]] = {}
    for row in connection.execute(_ANSWERS, {"battle": battle.id}):
        fields = row._asdict()
        del fields["battle_id"]
        said.setdefault(row.turn, []).append(Answer(**fields | {"leaks": tuple(row.leaks)}))
    return tuple(
        Turn(
            number=row.turn,
            prompt=tuple(Message(**message) for message in row.prompt),
            answers=tuple(said.get(row.turn, ())),
        )
        for row in asked
    )


def add_turn(connection: Connection, battle: Battle, prompt: str, *, now_ms: int) -> int:
    """Go on with a conversation; return the new turn's number.

    The battle then stands for the longer conversation: its example changes with it.
    """
    stored = sa.select(schema.example.c.content).where(schema.example.c.id == battle.example_id)
    example = longer_example(example_from(connection.execute(stored).scalar_one()), prompt)
    insert_rows(connection, schema.example, [{"id": example.id, "content": jsonable(example)}])
    earlier = sa.select(sa.func.count()).where(tables.turn.c.battle_id == battle.id)
    number: int = connection.execute(earlier).scalar_one()
    _insert_turn(connection, battle.id, number, (Message(role="user", content=prompt),), now_ms)
    values = {
        "status": BattleStatus.CREATED,
        "example_id": example.id,
        "ready_ms": None,
        "typed": True,
    }
    _update(connection, battle.id, values)
    return number


def longer_example(example: Example, prompt: str) -> Example:
    """Return the example with one more turn of its user."""
    follow_ups = (*example.follow_ups, prompt)
    messages = [[message.role, message.content] for message in example.messages]
    return replace(example, id=content_hash([messages, follow_ups]), follow_ups=follow_ups)


def mark_streaming(connection: Connection, battle_id: str) -> None:
    """Note that answers are being shown."""
    columns = tables.battle.c
    connection.execute(
        tables.battle.update()
        .where(columns.id == battle_id, columns.status == BattleStatus.CREATED)
        .values(status=BattleStatus.STREAMING)
    )


def store_answers(
    connection: Connection, battle_id: str, answers: Sequence[Answer], *, now_ms: int
) -> Battle:
    """Store a turn's answers and let the battle be voted on; again, it changes nothing."""
    battle = find_battle(connection, battle_id)
    if battle.status not in (BattleStatus.CREATED, BattleStatus.STREAMING):
        return battle
    insert_rows(connection, tables.answer, [_answer_row(battle_id, item) for item in answers])
    _update(connection, battle_id, {"status": BattleStatus.READY, "ready_ms": now_ms})
    return find_battle(connection, battle_id)


def battle_from(row: Any) -> Battle:
    """Rebuild a battle from its row."""
    form = row.form
    scales = {name: (low, high) for name, (low, high) in form["scales"].items()}
    return Battle(
        id=row.id,
        rater=row.rater,
        study=row.study,
        item=row.item,
        example_id=row.example_id,
        models=tuple(row.models),
        names=tuple(row.names),
        sides=tuple(row.sides),
        side_seed=row.side_seed,
        form=Form(**form | {"scales": scales, "reasons": tuple(form["reasons"])}),
        rated=row.rated,
        status=BattleStatus(row.status),
        category=row.category,
        note=row.note,
        flags=row.flags,
        created_ms=row.created_ms,
        ready_ms=row.ready_ms,
        expires_ms=row.expires_ms,
        is_open=row.open_for is not None,
    )


def _one(connection: Connection, condition: sa.ColumnElement[bool]) -> Battle:
    row = connection.execute(tables.battle.select().where(condition).with_for_update()).first()
    if row is None:
        raise Refused("unknown_battle")
    return battle_from(row)


def _update(connection: Connection, battle_id: str, values: dict[str, Any]) -> None:
    connection.execute(
        tables.battle.update().where(tables.battle.c.id == battle_id).values(**values)
    )


def _insert_battle(connection: Connection) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(tables.battle).on_conflict_do_nothing(index_elements=["open_for"])


def _insert_stored(
    connection: Connection,
    pairing: Pairing,
    battle_id: str,
    *,
    sides: Sequence[int],
    now_ms: int,
) -> None:
    """Write the first turn, and for stored answers all turns with them."""
    follow_ups = pairing.example.follow_ups if pairing.answers is not None else ()
    prompts = [pairing.example.messages]
    prompts += [(Message(role="user", content=text),) for text in follow_ups]
    for number, prompt in enumerate(prompts):
        _insert_turn(connection, battle_id, number, prompt, now_ms)
    if pairing.answers is not None:
        answers = [
            Answer(turn=number, position=position, text=text)
            for position, place in enumerate(sides)
            for number, text in enumerate(pairing.answers[place])
        ]
        insert_rows(connection, tables.answer, [_answer_row(battle_id, item) for item in answers])


def _insert_turn(
    connection: Connection, battle_id: str, number: int, prompt: Sequence[Message], now_ms: int
) -> None:
    row = {
        "battle_id": battle_id,
        "turn": number,
        "prompt": jsonable(prompt),
        "created_utc": utc_text(now_ms),
    }
    connection.execute(tables.turn.insert(), row)


def _answer_row(battle_id: str, answer: Answer) -> dict[str, Any]:
    return {**jsonable(answer), "battle_id": battle_id}


# FOR UPDATE, where there are replicas: what follows sees what another one has just committed.
_BY_TOKEN = (
    tables.battle.select()
    .where(
        tables.battle.c.token_hash == sa.bindparam("hash"),
        tables.battle.c.rater == sa.bindparam("who"),
    )
    .with_for_update()
)
_BY_OPEN = (
    tables.battle.select().where(tables.battle.c.open_for == sa.bindparam("open")).with_for_update()
)
# Made once: a statement costs more to make than to run.
_SET_STATUS = (
    tables.battle.update()
    .where(tables.battle.c.id == sa.bindparam("battle"))
    .values(
        status=sa.bindparam("new_status"),
        open_for=sa.bindparam("new_open"),
        reason=sa.func.coalesce(sa.bindparam("new_reason", type_=sa.Text), tables.battle.c.reason),
    )
)
_CLOSE = (
    tables.battle.update()
    .where(tables.battle.c.id == sa.bindparam("battle"))
    .values(open_for=sa.null())
)
_TURNS = (
    tables.turn.select()
    .where(tables.turn.c.battle_id == sa.bindparam("battle"))
    .order_by(tables.turn.c.turn)
)
_ANSWERS = (
    tables.answer.select()
    .where(tables.answer.c.battle_id == sa.bindparam("battle"))
    .order_by(tables.answer.c.turn, tables.answer.c.position)
)
