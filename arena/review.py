"""What administrators do to votes: leave out, count again, accept. Always with a reason."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena import audit
from arena.battles import find_battle, set_status
from arena.clock import Clock
from arena.records import Battle, BattleStatus, VoteStatus
from arena.votes import StoredVote, find_vote, note, set_vote_status
from arena.writer import Writer
from evalcore.errors import InputError
from evalcore.store.arena_schema import vote_event

__all__ = ["Review"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """Who does something to a vote, when and why."""

    actor: str
    reason: str
    now_ms: int

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError("reason must be given; it is kept in the audit log")


class Review:
    """Acts on votes: each one transaction, with an entry in the audit log; all of them wait.

    Parameters
    ----------
    writer
        Does the transactions.
    clock
        Milliseconds since 1970.

    Raises
    ------
    InputError
        From every method without a reason.
    """

    def __init__(self, writer: Writer, *, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

    def void(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Leave a vote out of everything, or end a battle without one; again, it changes nothing.

        Undone by :meth:`unvoid`.
        """
        act = self._act(actor, reason)
        self._writer.call(lambda connection: _void(connection, battle_id, act))

    def unvoid(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Give a voided vote the status back that it had before.

        Raises
        ------
        InputError
            If it is not void.
        """
        act = self._act(actor, reason)
        self._writer.call(lambda connection: _unvoid(connection, battle_id, act))

    def accept(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Count a vote that could not be verified.

        Raises
        ------
        InputError
            If it is not unverified.
        """
        act = self._act(actor, reason)
        self._writer.call(lambda connection: _accept(connection, battle_id, act))

    def _act(self, actor: str, reason: str) -> _Act:
        return _Act(actor=actor, reason=reason, now_ms=self._clock())


def _void(connection: Connection, battle_id: str, act: _Act) -> None:
    battle, vote = find_battle(connection, battle_id), find_vote(connection, battle_id)
    if vote is None or vote.status is VoteStatus.UNDONE:
        set_status(connection, battle, BattleStatus.VOID, reason=act.reason)
        _log(connection, battle, "void", act, before=battle.status)
    elif vote.status is not VoteStatus.VOID:
        set_vote_status(connection, battle, vote, VoteStatus.VOID)
        _log(connection, battle, "void", act, before=vote.status)


def _unvoid(connection: Connection, battle_id: str, act: _Act) -> None:
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


def _accept(connection: Connection, battle_id: str, act: _Act) -> None:
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


def _log(connection: Connection, battle: Battle, action: str, act: _Act, *, before: str) -> None:
    detail = {"reason": act.reason, "before": str(before)}
    note(connection, battle.id, action, now_ms=act.now_ms, actor=act.actor, detail=detail)
    audit.record(
        connection, act.actor, action=action, target=battle.id, detail=detail, now_ms=act.now_ms
    )
