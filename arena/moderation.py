"""What administrators do to votes: leave out, count again, accept. Always with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena import audit
from arena.battles import find_battle, set_status
from arena.records import Battle, BattleStatus, VoteStatus
from arena.votes import StoredVote, find_vote, note, set_vote_status
from evalcore.errors import InputError
from evalcore.store.arena_schema import vote_event

__all__ = ["Act", "accept", "unvoid", "void"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who does something to a vote, when and why."""

    actor: str
    reason: str
    now_ms: int

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError("reason must be given; it is kept in the audit log")


def void(connection: Connection, battle_id: str, act: Act) -> None:
    """Leave a vote out of everything, or end a battle that has none; again, it changes nothing."""
    battle, vote = find_battle(connection, battle_id), find_vote(connection, battle_id)
    if vote is None or vote.status is VoteStatus.UNDONE:
        set_status(connection, battle, BattleStatus.VOID, reason=act.reason)
        _log(connection, battle, "void", act, before=battle.status)
    elif vote.status is not VoteStatus.VOID:
        set_vote_status(connection, battle, vote, VoteStatus.VOID)
        _log(connection, battle, "void", act, before=vote.status)


def unvoid(connection: Connection, battle_id: str, act: Act) -> None:
    """Give a voided vote the status back that it had before.

    Raises
    ------
    InputError
        If it is not void.
    """
    battle = find_battle(connection, battle_id)
    vote = _vote_with(connection, battle_id, VoteStatus.VOID)
    latest = (
        sa.select(vote_event.c.detail)
        .where(vote_event.c.battle_id == battle_id, vote_event.c.kind == "void")
        .order_by(vote_event.c.id.desc())
        .limit(1)
    )
    before = VoteStatus(connection.execute(latest).scalar_one()["before"])
    set_vote_status(connection, battle, vote, before)
    _log(connection, battle, "unvoid", act, before=VoteStatus.VOID)


def accept(connection: Connection, battle_id: str, act: Act) -> None:
    """Count a vote that could not be verified.

    Raises
    ------
    InputError
        If it is not unverified.
    """
    battle = find_battle(connection, battle_id)
    vote = _vote_with(connection, battle_id, VoteStatus.UNVERIFIED)
    set_vote_status(connection, battle, vote, VoteStatus.COUNTED)
    _log(connection, battle, "accept", act, before=VoteStatus.UNVERIFIED)


def _vote_with(connection: Connection, battle_id: str, status: VoteStatus) -> StoredVote:
    vote = find_vote(connection, battle_id)
    if vote is None or vote.status is not status:
        found = "no vote" if vote is None else vote.status
        raise InputError(f"battle {battle_id} must have a vote that is {status}; has {found}")
    return vote


def _log(connection: Connection, battle: Battle, action: str, act: Act, *, before: str) -> None:
    detail = {"reason": act.reason, "before": str(before)}
    note(connection, battle.id, action, now_ms=act.now_ms, actor=act.actor, detail=detail)
    audit.record(
        connection, act.actor, action=action, target=battle.id, detail=detail, now_ms=act.now_ms
    )
