"""Scores as tables of models by examples, read quickly however many there are.

A model's values on a task are kept in one piece, in ``score_cache``. Triggers drop a piece when any
of its scores is added, changed or deleted, by whomever; a reader makes it of the rows again while
nobody else writes scores. So a piece that is there says what the rows say.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from evalcore.errors import WorkspaceError
from evalcore.store import board_schema, schema
from evalcore.store.database import (
    KEYS_PER_QUERY,
    Database,
    driver_rows,
    fixed,
    insert_rows,
    nan_if_null,
)

__all__ = ["ExampleLabels", "ScoreTable", "ScoreTables"]

_Key = tuple[str, str]
"""Task hash and metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleLabels:
    """A task's examples, and what they are broken down and clustered by; in the task's order."""

    example_ids: tuple[str, ...]
    categories: tuple[str | None, ...]
    groups: NDArray[np.int64] | None
    """``(n_examples,)`` numbers of clusters, an example without one being its own; None if no
    example has one."""

    def in_category(self, category: str) -> NDArray[np.intp]:
        """Positions of the examples of a category."""
        return np.flatnonzero([found == category for found in self.categories])


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


_VALUES = fixed(np.array([0.0, 1.0, np.nan, np.nan]))
_WEIGHTS = fixed(np.array([1.0, 1.0, 1.0, 0.0]))
"""What the usual bytes of a piece stand for."""
_NO_LABELS = ExampleLabels(example_ids=(), categories=(), groups=None)


class ScoreTables(Database):
    """Reading scores by the million."""

    def score_table(
        self, task_hash: str, metric: str, fingerprints: Sequence[str] | None = None
    ) -> ScoreTable:
        """One metric of one task for some models, or for all that have it."""
        if fingerprints is None:
            fingerprints = self._scored(task_hash, metric)
        return self.score_tables({(task_hash, metric): fingerprints})[task_hash, metric]

    def score_tables(self, wanted: Mapping[_Key, Sequence[str]]) -> dict[_Key, ScoreTable]:
        """Tables of some models by task hash and metric, read together.

        Nobody may write to the arrays.
        """
        labels = self.example_labels({task_hash for task_hash, _metric in wanted})
        with self._reading() as connection:
            kept = _kept(connection, wanted)
        return {
            key: self._table(key, names, labels[key[0]].example_ids, kept.get(key, {}))
            for key, names in wanted.items()
        }

    def _table(
        self,
        key: _Key,
        fingerprints: Sequence[str],
        example_ids: tuple[str, ...],
        kept: Mapping[str, bytes],
    ) -> ScoreTable:
        n = len(example_ids)
        pieces = {name: piece for name, piece in kept.items() if len(piece) in (n, 16 * n)}
        missing = [name for name in fingerprints if name not in pieces]
        if missing:
            pieces |= self._read_and_keep(key, missing, example_ids)
        values, weights = _unpacked([pieces[name] for name in fingerprints], n)
        return ScoreTable(
            fingerprints=tuple(fingerprints),
            example_ids=example_ids,
            values=fixed(values),
            weights=fixed(weights),
        )

    def example_labels(self, task_hashes: Collection[str]) -> dict[str, ExampleLabels]:
        """Return ids, categories and groups of some tasks' examples, without their texts.

        A task's hash is that of its examples, too: once all are there, they never change.
        """
        known: dict[str, ExampleLabels] = self._same("labels", None, dict)
        found = {task_hash: _NO_LABELS for task_hash in task_hashes} | known
        new = sorted(set(task_hashes) - known.keys())
        with self._reading() as connection:
            for start in range(0, len(new), KEYS_PER_QUERY):
                rows = driver_rows(connection, _labels_query(new[start : start + KEYS_PER_QUERY]))
                for task_hash, some in groupby(rows, key=itemgetter(0)):
                    _hash, ids, are_there, categories, groups = zip(*some, strict=True)
                    found[task_hash] = _labelled(ids, categories, groups)
                    if all(are_there):
                        known[task_hash] = found[task_hash]
        return found

    def _read_and_keep(
        self, key: _Key, fingerprints: Sequence[str], example_ids: Sequence[str]
    ) -> dict[str, bytes]:
        """Read rows, and keep them in pieces where the database can be written.

        Nobody else writes scores meanwhile, so that what is kept misses nothing.
        """
        try:
            with self._writing_alone(schema.score) as connection:
                pieces = _read(connection, key, fingerprints, example_ids)
                _keep(connection, key, pieces)
        except WorkspaceError:
            with self._reading() as connection:
                pieces = _read(connection, key, fingerprints, example_ids)
        return pieces

    def _scored(self, task_hash: str, metric: str) -> list[str]:
        score = schema.score.c
        query = (
            sa.select(score.fingerprint)
            .where(score.task_hash == task_hash, score.metric == metric)
            .distinct()
            .order_by(score.fingerprint)
        )
        with self._reading() as connection:
            return list(connection.scalars(query))

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


def _labels_query(task_hashes: Sequence[str]) -> sa.Select[Any]:
    place, example = schema.task_example.c, schema.example.c
    return (
        sa.select(
            place.task_hash,
            place.example_id,
            example.id.is_not(None),
            example.content["category"].as_string(),
            example.content["group"].as_string(),
        )
        .join_from(
            schema.task_example, schema.example, place.example_id == example.id, isouter=True
        )
        .where(place.task_hash.in_(task_hashes))
        .order_by(place.task_hash, place.position)
    )


def _labelled(
    ids: tuple[str, ...], categories: tuple[str | None, ...], groups: tuple[str | None, ...]
) -> ExampleLabels:
    numbers = None
    if any(group is not None for group in groups):
        labels = [
            ("id", key) if group is None else ("group", group)
            for key, group in zip(ids, groups, strict=True)
        ]
        number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
        numbers = fixed(np.array([number[label] for label in labels], np.int64))
    return ExampleLabels(example_ids=ids, categories=categories, groups=numbers)


def _kept(
    connection: Connection, wanted: Mapping[_Key, Sequence[str]]
) -> dict[_Key, dict[str, bytes]]:
    """Return what is kept of some tasks and metrics, by fingerprint."""
    cache = board_schema.score_cache.c
    tasks = sorted({task_hash for task_hash, _metric in wanted})
    found: dict[_Key, dict[str, bytes]] = {key: {} for key in wanted}
    for start in range(0, len(tasks), KEYS_PER_QUERY):
        query = sa.select(cache.task_hash, cache.metric, cache.fingerprint, cache.content).where(
            cache.task_hash.in_(tasks[start : start + KEYS_PER_QUERY])
        )
        for task_hash, metric, fingerprint, content in driver_rows(connection, query):
            if (pieces := found.get((task_hash, metric))) is not None:
                pieces[fingerprint] = content
    return found


def _read(
    connection: Connection, key: _Key, fingerprints: Sequence[str], example_ids: Sequence[str]
) -> dict[str, bytes]:
    """Make pieces of rows: values, nan where there is none, then weights, in the task's order."""
    task_hash, metric = key
    score = schema.score.c
    place = {example_id: column for column, example_id in enumerate(example_ids)}
    pieces = {}
    for fingerprint in fingerprints:
        piece = np.array([[np.nan], [0.0]]).repeat(len(place), axis=1)
        query = sa.select(score.example_id, score.value, score.weight).where(
            score.task_hash == task_hash, score.metric == metric, score.fingerprint == fingerprint
        )
        for example_id, value, weight in driver_rows(connection, query):
            if (column := place.get(example_id)) is not None:
                piece[:, column] = nan_if_null(value), weight
        pieces[fingerprint] = _packed(piece)
    return pieces


def _packed(piece: NDArray[np.float64]) -> bytes:
    """Make bytes of values and weights ``(2, n)``: one for each example if they are the usual ones.

    Those are values of 0 and 1, and what is unscored or missing, of equal weight; otherwise the
    numbers themselves are kept.
    """
    codes = np.full(piece.shape[1], -1)
    for code, (value, weight) in enumerate(zip(_VALUES, _WEIGHTS, strict=True)):
        same = np.isnan(piece[0]) if np.isnan(value) else piece[0] == value
        codes[same & (piece[1] == weight)] = code
    return piece.tobytes() if (codes < 0).any() else codes.astype(np.uint8).tobytes()


def _unpacked(pieces: Sequence[bytes], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make values and weights of pieces, each ``(n_pieces, n)``."""
    if all(len(piece) == n for piece in pieces):
        codes = np.frombuffer(b"".join(pieces), np.uint8).reshape(len(pieces), n)
        return _VALUES[codes], _WEIGHTS[codes]
    if any(len(piece) == n for piece in pieces):
        whole = [np.stack(_unpacked([piece], n), axis=1).tobytes() for piece in pieces]
        return _unpacked(whole, n)
    table = np.frombuffer(b"".join(pieces)).reshape(len(pieces), 2, n)
    return table[:, 0], table[:, 1]


def _keep(connection: Connection, key: _Key, pieces: Mapping[str, bytes]) -> None:
    task_hash, metric = key
    rows = [
        {"task_hash": task_hash, "metric": metric, "fingerprint": name, "content": piece}
        for name, piece in pieces.items()
    ]
    insert_rows(connection, board_schema.score_cache, rows, replace=("content",))
