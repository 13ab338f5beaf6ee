"""Studies of people's votes, as those who publish results need them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from evalcore.store import arena_schema
from evalcore.store.database import Database

__all__ = ["Studies", "StudySummary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study of the arena."""

    name: str
    study_hash: str
    is_locked: bool
    """Whether it has ended; results of one that goes on would influence those who still vote."""
    stop_reason: str
    export_hash: str
    """Of its locked export; empty where there is none."""
    created_utc: str
    locked_utc: str
    n_votes: int


class Studies(Database):
    """Reading of studies."""

    def studies(self) -> list[StudySummary]:
        """All studies, by name."""
        battle, vote = arena_schema.battle.c, arena_schema.vote
        counts = (
            sa.select(battle.study, sa.func.count().label("n"))
            .join_from(arena_schema.battle, vote, battle.id == vote.c.battle_id)
            .group_by(battle.study)
        )
        with self._reading() as connection:
            n_votes = {study: n for study, n in connection.execute(counts)}
            rows = connection.execute(
                arena_schema.study.select().order_by(arena_schema.study.c.name)
            ).all()
        return [
            StudySummary(
                name=row.name,
                study_hash=row.study_hash,
                is_locked=row.status == "locked",
                stop_reason=row.stop_reason or "",
                export_hash=row.export_hash or "",
                created_utc=row.created_utc,
                locked_utc=row.locked_utc or "",
                n_votes=n_votes.get(row.name, 0),
            )
            for row in rows
        ]

    def battles_of_study(self, name: str) -> frozenset[str]:
        """Ids of a study's battles; the id of a comparison begins with its battle's."""
        battle = arena_schema.battle.c
        with self._reading() as connection:
            query = sa.select(battle.id).where(battle.study == name)
            return frozenset(connection.scalars(query))

    def typed_prompts(self) -> frozenset[str]:
        """Return the ids of examples that visitors of the arena wrote, which nobody publishes."""
        battle = arena_schema.battle.c
        with self._reading() as connection:
            return frozenset(
                connection.scalars(sa.select(battle.example_id).where(battle.typed).distinct())
            )
