"""A leaderboard to be kept: its table, and what it rests on, so that changes can be explained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalcore.codec import jsonable
from evalcore.environment import code_version
from evalcore.errors import InputError
from evalcore.store import Store
from evalcore.store.board import Snapshot
from leaderboards.flat import flat_rows
from leaderboards.records import Column, Leaderboard, Source
from leaderboards.request import BoardRequest, Filters
from leaderboards.words import summary

__all__ = ["NOW", "as_asked", "snapshot_content", "stored_content", "take_snapshot"]

NOW = "now"
"""In place of a number: the leaderboard as it is."""
_VERSION = 1


def take_snapshot(store: Store, board: Leaderboard, *, note: str = "") -> tuple[Snapshot, bool]:
    """Keep a leaderboard under the next number.

    Returns
    -------
    tuple of Snapshot and bool
        The snapshot and whether it is new: one that equals the last is not taken again.
    """
    return store.add_snapshot(snapshot_content(store, board), note=note)


def stored_content(store: Store, number: str) -> dict[str, Any]:
    """Return what a snapshot holds.

    Raises
    ------
    InputError
        If that is no number, or none that was taken.
    """
    if not number.isdecimal():
        raise InputError(f"a snapshot must be a number, or {NOW}; got {number!r}")
    return dict(store.snapshot(int(number)).content)


def snapshot_content(store: Store, board: Leaderboard) -> dict[str, Any]:
    """Describe a leaderboard as plain JSON, without the time, so that equal ones are equal."""
    prompts = store.judge_prompts()
    content = {
        "version": _VERSION,
        "code_version": code_version(),
        "summary": summary(board),
        "rating": board.rating_title,
        "ranked_by": board.ranked_by,
        "confidence_level": board.confidence_level,
        "request": _request(board),
        "table": flat_rows(board),
        "tasks": {column.task: _task(column) for column in board.columns},
        "sources": {source.kind: _source(source, prompts) for source in board.sources},
        "warnings": board.warnings,
    }
    found: dict[str, Any] = jsonable(content)
    return found


def as_asked(content: Mapping[str, Any]) -> BoardRequest:
    """Ask again what a snapshot was asked for."""
    asked = content["request"]
    filters = asked["filters"]
    return BoardRequest(
        tasks=None if asked["tasks"] is None else tuple(asked["tasks"]),
        models=None if asked["models"] is None else tuple(asked["models"]),
        by=asked["by"],
        kinds=tuple(asked["kinds"]),
        category=asked["category"],
        reference=asked["reference"],
        margin=asked["margin"],
        level=asked["level"],
        filters=Filters(
            licences=tuple(filters["licences"]),
            open_stack=filters["open_stack"],
            least_parameters=filters["least_parameters"],
            most_parameters=filters["most_parameters"],
            quantizations=tuple(filters["quantizations"]),
        ),
        common=asked["common"],
        under_way=asked.get("under_way", True),
    )


def _request(board: Leaderboard) -> dict[str, Any]:
    request: dict[str, Any] = jsonable(board.request)
    names = {item.model.fingerprint: item.model.name for item in board.standings}
    request["reference"] = names.get(board.reference or "")
    return request


def _task(column: Column) -> dict[str, Any]:
    return {
        "task_hash": column.task_hash,
        "metric": column.metric,
        "n_examples": column.n_examples,
        "runs": {
            fingerprint: {"created_utc": run.created_utc, "code_version": run.code_version}
            for fingerprint, run in column.runs.items()
        },
    }


def _source(source: Source, prompts: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "n_comparisons": source.n_comparisons,
        "n_raters": source.n_raters,
        "n_examples": source.n_examples,
        "raters": source.raters,
        "prompts": {rater: prompts[rater] for rater in source.raters if rater in prompts},
        "by_model": {name: row.n_comparisons for name, row in source.rows.items()},
    }
