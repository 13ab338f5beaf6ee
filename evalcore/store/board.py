"""Snapshots of the leaderboard, and when models were retired: appended, never rewritten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa

from evalcore.errors import InputError, WorkspaceError
from evalcore.hashing import content_hash
from evalcore.records import utc_now
from evalcore.store.board_schema import model_event, snapshot
from evalcore.store.database import Database

__all__ = ["Boards", "ModelEvent", "ModelEventKind", "Snapshot"]

ModelEventKind = Literal["deprecated", "restored"]
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A leaderboard as it was."""

    number: int
    """From 1."""
    content_hash: str
    note: str
    content: Mapping[str, Any]
    created_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvent:
    """What was decided on a model."""

    fingerprint: str
    kind: ModelEventKind
    reason: str
    created_utc: str


class Boards(Database):
    """Writing and reading what is kept of leaderboards."""

    def add_snapshot(self, content: Mapping[str, Any], *, note: str = "") -> tuple[Snapshot, bool]:
        """Keep a leaderboard under the next number, unless it is the last one again.

        Parameters
        ----------
        content
            Plain JSON.
        note
            For people.

        Returns
        -------
        tuple of Snapshot and bool
            The snapshot, and whether it is new.
        """
        key = content_hash(content)
        for _ in range(_ATTEMPTS):
            newest = self._newest()
            if newest is not None and newest.content_hash == key:
                return newest, False
            number = 1 + (0 if newest is None else newest.number)
            row = {"number": number, "content_hash": key, "note": note, "content": dict(content)}
            try:
                with self._writing() as connection:
                    connection.execute(snapshot.insert(), [row | {"created_utc": utc_now()}])
            except WorkspaceError:
                if self.snapshot_or_none(number) is None:
                    raise  # no other process took the number
            else:
                return self.snapshot(number), True
        raise WorkspaceError(f"workspace {self.where}: other processes take snapshots, too; again")

    def snapshot(self, number: int) -> Snapshot:
        """Return a snapshot, and make sure that it is what was kept.

        Raises
        ------
        InputError
            If there is none of that number.
        WorkspaceError
            If its content is not what its hash says.
        """
        found = self.snapshot_or_none(number)
        if found is None:
            numbers = [item.number for item in self.snapshots()]
            there = f"1 to {numbers[-1]}" if numbers else "none yet: parity leaderboard snapshot"
            raise InputError(f"snapshot must be one that was taken, {there}; got {number}")
        if content_hash(found.content) != found.content_hash:
            raise WorkspaceError(
                f"snapshot {number} in {self.where} was changed: its content is not what its hash "
                f"{found.content_hash} says"
            )
        return found

    def snapshot_or_none(self, number: int) -> Snapshot | None:
        """Return a snapshot as it is; None if there is none of that number."""
        with self._reading() as connection:
            row = connection.execute(snapshot.select().where(snapshot.c.number == number)).first()
        return None if row is None else Snapshot(**row._asdict())

    def snapshots(self) -> list[Snapshot]:
        """Return all snapshots by number, without their content."""
        columns = [column for column in snapshot.c if column.name != "content"]
        with self._reading() as connection:
            rows = connection.execute(sa.select(*columns).order_by(snapshot.c.number))
            return [Snapshot(content={}, **row._asdict()) for row in rows]

    def add_model_event(self, fingerprint: str, kind: ModelEventKind, *, reason: str) -> None:
        """Note that a model is deprecated, or is not any more."""
        row = {"fingerprint": fingerprint, "kind": kind, "reason": reason, "created_utc": utc_now()}
        with self._writing() as connection:
            connection.execute(model_event.insert(), [row])

    def model_events(self) -> list[ModelEvent]:
        """Return what was decided on models, oldest first."""
        kinds: dict[str, ModelEventKind] = {kind: kind for kind in get_args(ModelEventKind)}
        with self._reading() as connection:
            rows = connection.execute(model_event.select().order_by(model_event.c.id))
            return [
                ModelEvent(
                    fingerprint=row.fingerprint,
                    kind=kinds[row.kind],
                    reason=row.reason,
                    created_utc=row.created_utc,
                )
                for row in rows
            ]

    def _newest(self) -> Snapshot | None:
        query = snapshot.select().order_by(snapshot.c.number.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else Snapshot(**row._asdict())
