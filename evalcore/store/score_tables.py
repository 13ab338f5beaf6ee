"""Scores as tables of models by examples, read quickly however many there are.

On SQLite a model's values on a task are kept in one piece, in ``score_cache``. A piece holds as
long as it has as many scores as the model has on the task; triggers drop it when a score is changed
or deleted, so that what is read never differs from the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from evalcore.store import board_schema, schema
from evalcore.store.database import KEYS_PER_QUERY, Database, fixed, insert_rows, nan_if_null

__all__ = ["ExampleLabels", "ScoreTable", "ScoreTables"]

_Piece = tuple[NDArray[np.float64], NDArray[np.float64]]
"""A model's values and weights, each ``(n_examples,)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """One metric of one task: models × examples, aligned, so that models compare in pairs."""

    fingerprints: tuple[str, ...]
    example_ids: tuple[str, ...]
    """In the task's order."""
    values: NDArray[np.float64]
    """(n_models, n_examples); nan = unscored or missing."""
    weights: NDArray[np.float64]
    """(n_models, n_examples); 0 where missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleLabels:
    """What a task's examples are broken down and clustered by."""

    categories: tuple[str | None, ...]
    """In the task's order."""
    groups: NDArray[np.int64] | None
    """``(n_examples,)`` numbers of clusters, an example without one being its own; None if no
    example has one."""

    def in_category(self, category: str) -> NDArray[np.intp]:
        """Positions of the examples of a category."""
        return np.flatnonzero([found == category for found in self.categories])


class ScoreTables(Database):
    """Reading scores by the million."""

    def score_table(
        self, task_hash: str, metric: str, fingerprints: Sequence[str] | None = None
    ) -> ScoreTable:
        """One metric of one task for some models, or for all that have it.

        Nobody may write to the arrays: as long as no score is added or changed, all get the same.
        """
        wanted = None if fingerprints is None else tuple(fingerprints)
        if self.engine.dialect.name != "sqlite":
            return self._score_table(task_hash, metric, wanted)
        with self._reading() as connection:
            state = _state(connection), _n_places(connection, task_hash)
        return self._same(
            ("scores", task_hash, metric, wanted),
            state,
            lambda: self._score_table(task_hash, metric, wanted),
        )

    def _score_table(
        self, task_hash: str, metric: str, fingerprints: Sequence[str] | None
    ) -> ScoreTable:
        is_kept = self.engine.dialect.name == "sqlite"
        with self._reading() as connection:
            example_ids = _example_ids(connection, task_hash)
            counts = _counts(connection, task_hash, metric)
            models = tuple(sorted(counts) if fingerprints is None else fingerprints)
            kept = _kept(connection, task_hash, metric, counts) if is_kept else {}
            missing = [name for name in models if name in counts and name not in kept]
            n_changes = _n_changes(connection)
            read = _read(connection, task_hash, metric, missing, example_ids)
        if is_kept and read:
            self._keep_pieces(task_hash, metric, read, counts, n_changes=n_changes)
        nothing = np.full(len(example_ids), np.nan), np.zeros(len(example_ids))
        pieces = [kept.get(name) or read.get(name) or nothing for name in models]
        shape = len(models), len(example_ids)
        return ScoreTable(
            fingerprints=models,
            example_ids=example_ids,
            values=fixed(np.array([values for values, _weights in pieces]).reshape(shape)),
            weights=fixed(np.array([weights for _values, weights in pieces]).reshape(shape)),
        )

    def example_labels(self, task_hash: str) -> ExampleLabels:
        """Return categories and groups of a task's examples, without their texts."""
        with self._reading() as connection:
            n_examples = _n_examples(connection, task_hash)
        return self._same(
            ("labels", task_hash), n_examples, lambda: self._example_labels(task_hash)
        )

    def _example_labels(self, task_hash: str) -> ExampleLabels:
        place, example = schema.task_example.c, schema.example.c
        query = (
            sa.select(
                example.content["category"].as_string(),
                example.content["group"].as_string(),
                example.id,
            )
            .join_from(schema.task_example, schema.example, place.example_id == example.id)
            .where(place.task_hash == task_hash)
            .order_by(place.position)
        )
        with self._reading() as connection:
            rows = connection.execute(query).all()
        groups = None
        if any(group is not None for _category, group, _id in rows):
            labels = [("id", key) if group is None else ("group", group) for _, group, key in rows]
            number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
            groups = np.array([number[label] for label in labels], np.int64)
        return ExampleLabels(categories=tuple(row[0] for row in rows), groups=groups)

    def example_categories(self, example_ids: Sequence[str]) -> dict[str, str]:
        """Return the categories of some examples, by id, of those that have one."""
        example = schema.example.c
        category = example.content["category"].as_string()
        found: dict[str, str] = {}
        with self._reading() as connection:
            for start in range(0, len(example_ids), KEYS_PER_QUERY):
                some = example_ids[start : start + KEYS_PER_QUERY]
                query = sa.select(example.id, category).where(
                    example.id.in_(some), category.is_not(None)
                )
                found |= {key: label for key, label in connection.execute(query)}
        return found

    def categories(self) -> list[str]:
        """Return the categories of all examples, sorted."""
        category = schema.example.c.content["category"].as_string()
        query = sa.select(category).where(category.is_not(None)).distinct().order_by(category)
        with self._reading() as connection:
            return list(connection.scalars(query))

    def _keep_pieces(
        self,
        task_hash: str,
        metric: str,
        read: Mapping[str, _Piece],
        counts: Mapping[str, int],
        *,
        n_changes: int,
    ) -> None:
        """Write pieces, unless a score was changed or deleted since they were read."""
        rows = [
            {
                "task_hash": task_hash,
                "metric": metric,
                "fingerprint": fingerprint,
                "n_scores": counts[fingerprint],
                "content": np.concatenate(piece).tobytes(),
            }
            for fingerprint, piece in read.items()
        ]
        with self._caching() as connection:
            if _n_changes(connection) == n_changes:
                insert_rows(
                    connection, board_schema.score_cache, rows, replace=("n_scores", "content")
                )


def _example_ids(connection: Connection, task_hash: str) -> tuple[str, ...]:
    place = schema.task_example.c
    query = sa.select(place.example_id).where(place.task_hash == task_hash).order_by(place.position)
    return tuple(connection.scalars(query))


def _n_places(connection: Connection, task_hash: str) -> int:
    place = schema.task_example.c.task_hash
    return int(connection.scalar(sa.select(sa.func.count()).where(place == task_hash)) or 0)


def _n_examples(connection: Connection, task_hash: str) -> int:
    """How many of a task's examples are there; what is there never changes."""
    place = schema.task_example.c
    query = (
        sa.select(sa.func.count())
        .join_from(schema.task_example, schema.example, place.example_id == schema.example.c.id)
        .where(place.task_hash == task_hash)
    )
    return int(connection.scalar(query) or 0)


def _state(connection: Connection) -> tuple[object, ...]:
    """Return what differs once a score is added, changed or deleted.

    SQLite's VACUUM may give a number that was another row's: the last row itself tells.
    """
    last = sa.select(sa.literal_column("rowid"), *schema.score.primary_key.columns)
    row = connection.execute(last.order_by(sa.text("rowid DESC")).limit(1)).first()
    return (_n_changes(connection), *(row or ()))


def _counts(connection: Connection, task_hash: str, metric: str) -> dict[str, int]:
    """How many scores each model has; the primary key's index knows."""
    score = schema.score.c
    query = (
        sa.select(score.fingerprint, sa.func.count())
        .where(score.task_hash == task_hash, score.metric == metric)
        .group_by(score.fingerprint)
    )
    return {fingerprint: count for fingerprint, count in connection.execute(query).all()}


def _n_changes(connection: Connection) -> int:
    counts = board_schema.change_count
    return int(connection.scalar(sa.select(counts.c.n).where(counts.c.name == "score")) or 0)


def _kept(
    connection: Connection, task_hash: str, metric: str, counts: Mapping[str, int]
) -> dict[str, _Piece]:
    cache = board_schema.score_cache
    query = cache.select().where(cache.c.task_hash == task_hash, cache.c.metric == metric)
    pieces: dict[str, _Piece] = {}
    for row in connection.execute(query).all():
        if counts.get(row.fingerprint) == row.n_scores:
            values, weights = np.frombuffer(row.content).reshape(2, -1)
            pieces[row.fingerprint] = values, weights
    return pieces


def _read(
    connection: Connection,
    task_hash: str,
    metric: str,
    fingerprints: Sequence[str],
    example_ids: Sequence[str],
) -> dict[str, _Piece]:
    score = schema.score.c
    place = {example_id: column for column, example_id in enumerate(example_ids)}
    read: dict[str, _Piece] = {}
    for fingerprint in fingerprints:
        values, weights = np.full(len(place), np.nan), np.zeros(len(place))
        query = sa.select(score.example_id, score.value, score.weight).where(
            score.task_hash == task_hash, score.metric == metric, score.fingerprint == fingerprint
        )
        for example_id, value, weight in connection.execute(query).all():
            if (column := place.get(example_id)) is not None:
                values[column], weights[column] = nan_if_null(value), weight
        read[fingerprint] = values, weights
    return read
