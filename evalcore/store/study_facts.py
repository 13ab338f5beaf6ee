"""What a mirror needs to know of the arena's studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from evalcore.records import Comparison
from evalcore.store import schema
from evalcore.store.arena_schema import battle, study, study_item, vote
from evalcore.store.database import KEYS_PER_QUERY, Database

__all__ = ["StudyFacts"]

_BATTLE_ID = 32
"""Characters of a battle's id, with which the ids of its comparisons begin."""


class StudyFacts(Database):
    """Reading studies, their votes and the comparisons made of them."""

    def study_rows(self) -> list[sa.Row[Any]]:
        """Return each study's row with ``n_items``, by name."""
        n_items = (
            sa.select(sa.func.count())
            .where(study_item.c.study == study.c.name)
            .scalar_subquery()
            .label("n_items")
        )
        with self._reading() as connection:
            return list(connection.execute(sa.select(study, n_items).order_by(study.c.name)))

    def study_votes(self, name: str) -> list[sa.Row[Any]]:
        """Return ``rater`` and ``elapsed_ms`` of a study's votes that count."""
        query = (
            sa.select(vote.c.rater, vote.c.elapsed_ms)
            .join_from(vote, battle, vote.c.battle_id == battle.c.id)
            .where(battle.c.study == name, battle.c.rated, vote.c.status == "counted")
        )
        with self._reading() as connection:
            return list(connection.execute(query))

    def study_comparisons(self, name: str) -> list[Comparison]:
        """Return the comparisons that a study's votes made, oldest first."""
        comparison = schema.comparison.c
        query = (
            sa.select(*(comparison[field.name] for field in fields(Comparison)))
            .join_from(
                schema.comparison,
                battle,
                battle.c.id == sa.func.substr(comparison.id, 1, _BATTLE_ID),
            )
            .where(battle.c.study == name)
            .order_by(comparison.created_utc, comparison.id)
        )
        with self._reading() as connection:
            return [Comparison(**row._asdict()) for row in connection.execute(query)]

    def hidden_examples(self) -> frozenset[str]:
        """Return examples of studies that are under way and don't tell names after a vote."""
        return self._study_examples(
            [
                row.name
                for row in self.study_rows()
                if row.status != "locked" and not row.settings.get("reveal")
            ]
        )

    def _study_examples(self, names: Sequence[str]) -> frozenset[str]:
        """Return the examples of some studies' items."""
        found: set[str] = set()
        with self._reading() as connection:
            for start in range(0, len(names), KEYS_PER_QUERY):
                some = names[start : start + KEYS_PER_QUERY]
                query = sa.select(study_item.c.example_id).where(study_item.c.study.in_(some))
                found |= set(connection.scalars(query))
        return frozenset(found)
