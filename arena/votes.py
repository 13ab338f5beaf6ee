"""Votes in the database: cast, changed, undone, sealed, left out and counted again.

A vote is one row a battle, whatever is sent how often. Until its names are told it can change, each
change a new revision; afterwards it is never rewritten. Everything is noted in ``vote_event``. What
counts is a comparison in the same transaction, so that standings are always up to date.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.ballots import check_ballot, comparison_ids, comparisons_of, is_same
from arena.battles import close, set_status
from arena.clock import utc_text
from arena.keys import Keys
from arena.records import Ballot, Battle, BattleStatus, Receipt, VoteStatus
from arena.refusals import Code, Refused
from evalcore.codec import jsonable
from evalcore.store import arena_schema as tables
from evalcore.store import schema

__all__ = [
    "Casting",
    "StoredVote",
    "ballot_from",
    "cast",
    "find_vote",
    "note",
    "receipt_of",
    "report_mistake",
    "seal",
    "set_vote_status",
    "undo",
]

_ENDED: dict[BattleStatus, Code] = {
    BattleStatus.CREATED: "not_ready",
    BattleStatus.STREAMING: "not_ready",
    BattleStatus.SKIPPED: "expired",
    BattleStatus.EXPIRED: "expired",
    BattleStatus.VOID: "void",
}
_KEPT = (VoteStatus.COUNTED, VoteStatus.UNRATED, VoteStatus.UNVERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Casting:
    """The circumstances of a vote."""

    now_ms: int
    ip_hash: str | None = None
    unverified: str | None = None
    """Why the vote could not be checked; None if it was, or nothing had to be."""
    seals: bool = False
    """Fix a new vote for good in the same stroke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVote:
    """A vote's row."""

    ballot: Ballot
    receipt: Receipt

    @property
    def status(self) -> VoteStatus:
        """Whether it counts."""
        return self.receipt.status


def find_vote(connection: Connection, battle_id: str) -> StoredVote | None:
    """Return a battle's vote, also one that was undone."""
    row = connection.execute(_BY_BATTLE, {"battle": battle_id}).first()
    return None if row is None else _vote_from(row)


def receipt_of(connection: Connection, battle: Battle) -> Receipt | None:
    """Return the receipt of a battle's vote, unless there is none or it was undone."""
    vote = find_vote(connection, battle.id)
    return None if vote is None or vote.status is VoteStatus.UNDONE else vote.receipt


def cast(
    connection: Connection, battle: Battle, ballot: Ballot, *, casting: Casting, keys: Keys
) -> tuple[Receipt, bool]:
    """Write a vote or its change; return its receipt and whether anything was written.

    The same ballot again has the same receipt. A comment added after the names were told is kept as
    an event; another choice is refused then.

    Raises
    ------
    Refused
        If the battle is not to be voted on, the ballot does not fit, or the names were told.
    """
    old = find_vote(connection, battle.id)
    if old is None or old.status is VoteStatus.UNDONE:
        _check_open(battle, casting.now_ms)
    check_ballot(ballot, battle.form, n_answers=len(battle.models))
    if old is not None and old.status is not VoteStatus.UNDONE:
        if is_same(ballot, old.ballot):
            return old.receipt, False
        if old.receipt.sealed:
            _late_comment(connection, battle, ballot, old=old, now_ms=casting.now_ms)
            return old.receipt, False
    revision = 1 if old is None else old.receipt.revision + 1
    status = _first_status(battle, casting)
    said = jsonable(ballot)
    row = {
        "rater": battle.rater,
        **said,
        "elapsed_ms": None if battle.ready_ms is None else casting.now_ms - battle.ready_ms,
        "status": status,
        "revision": revision,
        "receipt": keys.receipt(battle.id, revision),
        "sealed": casting.seals,
        "ip_hash": casting.ip_hash,
        "changed_utc": utc_text(casting.now_ms),
    }
    if old is None:
        connection.execute(
            _INSERT, row | {"battle_id": battle.id, "created_utc": row["changed_utc"]}
        )
    else:
        _update(connection, battle.id, row)
    about = {"revision": revision, "unverified": casting.unverified, "sealed": casting.seals}
    detail = said | about
    kind = "cast" if revision == 1 else "changed"
    note(connection, battle.id, kind, now_ms=casting.now_ms, detail=detail)
    if old is not None:
        _drop_comparisons(connection, battle)
    if status is VoteStatus.COUNTED:
        _add_comparisons(connection, battle, ballot, created_utc=utc_text(casting.now_ms))
    return _receipt(battle.id, ballot, row), True


def seal(connection: Connection, battle: Battle, *, now_ms: int) -> Receipt:
    """Fix a vote for good, so that the names may be told; again, it changes nothing.

    Raises
    ------
    Refused
        ``not_ready`` if there is no vote.
    """
    vote = _present_vote(connection, battle)
    if vote.receipt.sealed:
        return vote.receipt
    _update(connection, battle.id, {"sealed": True})
    close(connection, battle)
    note(connection, battle.id, "sealed", now_ms=now_ms)
    return replace(vote.receipt, sealed=True)


def undo(connection: Connection, battle: Battle, *, now_ms: int) -> Battle:
    """Take a vote back before its names are told; the battle is ready again.

    Raises
    ------
    Refused
        ``sealed``, or ``not_ready`` if there is no vote.
    """
    vote = _present_vote(connection, battle)
    if vote.receipt.sealed:
        raise Refused("sealed")
    set_vote_status(connection, battle, vote, VoteStatus.UNDONE)
    note(connection, battle.id, "undone", now_ms=now_ms)
    return set_status(connection, battle, BattleStatus.READY)


def report_mistake(connection: Connection, battle: Battle, *, comment: str, now_ms: int) -> Receipt:
    """Leave a sealed vote out of ratings at its rater's word; the vote itself stays as it is.

    A vote on a known item too, or its receipt would tell which items are known. After its study is
    locked the word is kept, and the vote counts as it did. Again, it changes nothing.

    Raises
    ------
    Refused
        ``not_sealed``: until then the vote can simply be changed.
    """
    vote = _present_vote(connection, battle)
    if not vote.receipt.sealed:
        raise Refused("not_sealed")
    if vote.status not in _KEPT or _is_noted(connection, battle.id, "mistake after the lock"):
        return vote.receipt
    detail = {"comment": comment}
    if connection.execute(_IS_LOCKED, {"name": battle.study}).first() is not None:
        note(connection, battle.id, "mistake after the lock", now_ms=now_ms, detail=detail)
        return vote.receipt
    set_vote_status(connection, battle, vote, VoteStatus.MISTAKEN)
    note(connection, battle.id, "mistake", now_ms=now_ms, detail=detail)
    return replace(vote.receipt, status=VoteStatus.MISTAKEN)


def set_vote_status(
    connection: Connection, battle: Battle, vote: StoredVote, status: VoteStatus
) -> None:
    """Change whether a vote counts; its comparisons come and go with that."""
    _update(connection, battle.id, {"status": status})
    # A study's item lacks a rating when one is left out: it goes to another rater.
    exposed = {"battle": battle.id, "now": "done" if status in _KEPT else "released"}
    connection.execute(_EXPOSE, exposed)
    _drop_comparisons(connection, battle)
    if status is VoteStatus.COUNTED:
        _add_comparisons(connection, battle, vote.ballot, created_utc=vote.receipt.created_utc)


def note(
    connection: Connection,
    battle_id: str,
    kind: str,
    *,
    now_ms: int,
    actor: str = "rater",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Append to what happened to a battle and its vote."""
    row = {
        "battle_id": battle_id,
        "kind": kind,
        "actor": actor,
        "detail": dict(detail or {}),
        "created_utc": utc_text(now_ms),
    }
    connection.execute(_NOTE, row)


def _is_noted(connection: Connection, battle_id: str, kind: str) -> bool:
    events = tables.vote_event.c
    query = sa.select(events.id).where(events.battle_id == battle_id, events.kind == kind)
    return connection.execute(query).first() is not None


def _present_vote(connection: Connection, battle: Battle) -> StoredVote:
    vote = find_vote(connection, battle.id)
    if vote is None or vote.status is VoteStatus.UNDONE:
        raise Refused("not_ready", "There is no vote.")
    return vote


def _check_open(battle: Battle, now_ms: int) -> None:
    if battle.status is not BattleStatus.READY:
        raise Refused(_ENDED.get(battle.status, "already_voted"))
    if now_ms > battle.expires_ms:
        raise Refused("expired")


def _first_status(battle: Battle, casting: Casting) -> VoteStatus:
    if not battle.rated:
        return VoteStatus.UNRATED
    return VoteStatus.COUNTED if casting.unverified is None else VoteStatus.UNVERIFIED


def _late_comment(
    connection: Connection, battle: Battle, ballot: Ballot, *, old: StoredVote, now_ms: int
) -> None:
    """Keep what is said after the names were told, if the verdict itself is the same."""
    if not is_same(replace(ballot, reasons=(), comment=""), old.ballot):
        raise Refused("sealed")
    detail = {"reasons": ballot.reasons, "comment": ballot.comment}
    note(connection, battle.id, "late comment", now_ms=now_ms, detail=detail)


def _drop_comparisons(connection: Connection, battle: Battle) -> None:
    names = [{"comparison": name} for name in comparison_ids(battle)]
    if names:  # a single answer on scales has none
        connection.execute(_DROP, names)


def _add_comparisons(
    connection: Connection, battle: Battle, ballot: Ballot, *, created_utc: str
) -> None:
    rows = [asdict(item) for item in comparisons_of(battle, ballot, created_utc=created_utc)]
    if rows:
        connection.execute(_COMPARE, rows)


def _update(connection: Connection, battle_id: str, values: dict[str, Any]) -> None:
    connection.execute(
        tables.vote.update().where(tables.vote.c.battle_id == battle_id).values(**values)
    )


def _vote_from(row: Any) -> StoredVote:
    ballot = ballot_from(row)
    return StoredVote(ballot=ballot, receipt=_receipt(row.battle_id, ballot, row._mapping))


def ballot_from(row: Any) -> Ballot:
    """Rebuild a ballot from its vote's row."""
    return Ballot(
        choice=row.choice,
        ranking=None if row.ranking is None else tuple(row.ranking),
        ratings={scale: tuple(values) for scale, values in row.ratings.items()},
        reasons=tuple(row.reasons),
        comment=row.comment,
        visible_ms=row.visible_ms,
    )


def _receipt(battle_id: str, ballot: Ballot, row: Mapping[str, Any]) -> Receipt:
    return Receipt(
        id=row["receipt"],
        battle_id=battle_id,
        choice=ballot.choice,
        ranking=ballot.ranking,
        status=VoteStatus(row["status"]),
        revision=row["revision"],
        sealed=row["sealed"],
        created_utc=row["changed_utc"],
    )


_BY_BATTLE = tables.vote.select().where(tables.vote.c.battle_id == sa.bindparam("battle"))
_INSERT = tables.vote.insert()
_NOTE = tables.vote_event.insert()
_EXPOSE = (
    tables.exposure.update()
    .where(tables.exposure.c.battle_id == sa.bindparam("battle"))
    .values(status=sa.bindparam("now"))
)
_IS_LOCKED = sa.select(tables.study.c.name).where(
    tables.study.c.name == sa.bindparam("name"), tables.study.c.status == "locked"
)
_COMPARE = schema.comparison.insert()
_DROP = schema.comparison.delete().where(schema.comparison.c.id == sa.bindparam("comparison"))
