"""Studies in the database: what was asked of whom can't change once it has begun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.studies.assignment import Plan
from arena.studies.definition import StudyDefinition, read_study
from arena.studies.items import StudyAnswer, StudyItem, load_items
from evalcore.codec import example_from, jsonable
from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.records import utc_now
from evalcore.store import Store, schema
from evalcore.store.arena_schema import study, study_item
from evalcore.store.database import insert_rows

__all__ = ["RegisteredStudy", "StudyStatus", "load_study", "register_study", "study_names"]

StudyStatus = Literal["open", "locked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredStudy:
    """A study as it stands in the database."""

    definition: StudyDefinition
    items: tuple[StudyItem, ...]
    study_hash: str
    """Over settings and items: two studies with one hash ask the same."""
    status: StudyStatus
    stop_reason: str | None
    """Why it ended before every item had all its ratings; None if it did not."""
    decisions: Mapping[str, Any] = field(default_factory=dict)
    """What the anytime-valid rule decided, by pair."""
    export_hash: str | None
    """Hash of the locked export."""
    created_utc: str
    locked_utc: str | None

    @property
    def name(self) -> str:
        """The study's name."""
        return self.definition.name

    @property
    def plan(self) -> Plan:
        """What assignment needs to know."""
        definition = self.definition
        return Plan(
            items=self.items,
            ratings_per_item=definition.ratings_per_item,
            items_per_rater=definition.items_per_rater,
            gold_every=definition.gold.every if definition.gold else None,
            completes_items_in_turn=definition.stop.rule == "anytime",
            seed=definition.seed,
        )

    @property
    def model_names(self) -> dict[str, str]:
        """Name by model, of all that are rated."""
        main = [item for item in self.items if item.kind == "main"]
        return {answer.model: answer.name for item in main for answer in item.answers}


def register_study(path: Path, store: Store) -> RegisteredStudy:
    """Read a study's file and put it into the workspace; a study that is there goes on.

    Raises
    ------
    InputError
        For a file that can't be used, and for one that asks something else than the study of this
        name that has begun.
    """
    definition = read_study(path)
    items = load_items(definition, path.parent, store)
    settings = definition.model_dump(mode="json")
    study_hash = content_hash([settings, jsonable(items)])
    store.add_examples(list({item.example.id: item.example for item in items}.values()))
    with store.engine.begin() as connection:
        row = {
            "name": definition.name,
            "study_hash": study_hash,
            "settings": settings,
            "status": "open",
            "created_utc": utc_now(),
        }
        insert_rows(connection, study, [row])
        found = connection.scalar(
            sa.select(study.c.study_hash).where(study.c.name == definition.name)
        )
        if found != study_hash:
            raise InputError(
                f"{path}: the study {definition.name!r} in this workspace has other settings or "
                "items; a changed study needs a name of its own"
            )
        insert_rows(connection, study_item, _item_rows(definition.name, items))
        return load_study(connection, definition.name)


def load_study(connection: Connection, name: str) -> RegisteredStudy:
    """Read a study back.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    row = connection.execute(study.select().where(study.c.name == name)).one_or_none()
    if row is None:
        known = ", ".join(study_names(connection))
        permitted = f"one of {known}" if known else "one that was served here; there is none yet"
        raise InputError(f"study must be {permitted}; got {name!r}")
    query = (
        sa.select(study_item, schema.example.c.content)
        .join_from(study_item, schema.example, study_item.c.example_id == schema.example.c.id)
        .where(study_item.c.study == name)
        .order_by(study_item.c.position)
    )
    return RegisteredStudy(
        definition=StudyDefinition.model_validate(row.settings),
        items=tuple(_item_from(found) for found in connection.execute(query)),
        study_hash=row.study_hash,
        status=row.status,
        stop_reason=row.stop_reason,
        decisions=row.decisions or {},
        export_hash=row.export_hash,
        created_utc=row.created_utc,
        locked_utc=row.locked_utc,
    )


def study_names(connection: Connection) -> list[str]:
    """Return the names of all studies, in order."""
    return list(connection.scalars(sa.select(study.c.name).order_by(study.c.name)))


def _item_rows(name: str, items: list[StudyItem]) -> list[dict[str, Any]]:
    return [
        {
            "study": name,
            "item": item.id,
            "position": position,
            "kind": item.kind,
            "example_id": item.example.id,
            "answers": jsonable(item.answers),
            "expected": {
                "choice": item.expected,
                "scales": jsonable(item.expected_scales),
                "why": item.why,
            },
        }
        for position, item in enumerate(items)
    ]


def _item_from(row: Any) -> StudyItem:
    scales = row.expected["scales"]
    return StudyItem(
        id=row.item,
        kind=row.kind,
        example=example_from(row.content),
        answers=tuple(
            StudyAnswer(model=one["model"], name=one["name"], turns=tuple(one["turns"]))
            for one in row.answers
        ),
        expected=row.expected["choice"],
        expected_scales={name: (low, high) for name, (low, high) in scales.items()},
        why=row.expected["why"],
    )
