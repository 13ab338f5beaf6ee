"""What changed between two leaderboards, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["BoardChanges", "RowChange", "board_changes", "change_lines"]

Content = Mapping[str, Any]
"""Of a snapshot."""
_SETTINGS: Mapping[str, str] = {
    "tasks": "tasks asked for",
    "models": "models asked for",
    "by": "what ranks",
    "kinds": "kinds of raters",
    "category": "category",
    "reference": "reference",
    "margin": "margin",
    "level": "confidence level",
    "filters": "filters",
    "common": "only common examples",
    "under_way": "studies under way",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """A model's row that is new, gone, or other than it was."""

    model: str
    fingerprint: str
    kind: Literal["new", "gone", "changed"]
    old_rank: int | None
    new_rank: int | None
    old_rating: float | None
    new_rating: float | None
    reasons: tuple[str, ...]
    """What of the evidence on this model is not what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardChanges:
    """Everything that is not what it was."""

    old: str
    """Number of the snapshot."""
    new: str
    causes: tuple[str, ...]
    """Of the board as a whole: settings, code, tasks, prompts, votes."""
    rows: tuple[RowChange, ...]
    """In the order of the new board; those that are gone come last."""


def board_changes(old: Content, new: Content, *, names: tuple[str, str]) -> BoardChanges:
    """Compare two leaderboards.

    Parameters
    ----------
    old, new
        Contents of snapshots.
    names
        Their numbers.
    """
    before = {row["fingerprint"]: row for row in old["table"]}
    after = {row["fingerprint"]: row for row in new["table"]}
    rows = [_row(key, before.get(key), after.get(key), old, new) for key in {**after, **before}]
    return BoardChanges(
        old=names[0],
        new=names[1],
        causes=tuple(_causes(old, new)),
        rows=tuple(row for row in rows if row is not None),
    )


def change_lines(changes: BoardChanges) -> Iterator[str]:
    """Say it in lines of text."""
    yield f"From {changes.old} to {changes.new}:"
    if not changes.causes and not changes.rows:
        yield "  nothing has changed"
    for cause in changes.causes:
        yield f"  why: {cause}"
    for row in changes.rows:
        yield f"  {_words(row)}" + (f" ({'; '.join(row.reasons)})" if row.reasons else "")


def _words(row: RowChange) -> str:
    if row.kind == "new":
        return f"{row.model} is new, rank {row.new_rank or 'none'}"
    if row.kind == "gone":
        return f"{row.model} is gone, it had rank {row.old_rank or 'none'}"
    rank = f"rank {row.old_rank or 'none'}"
    if row.old_rank != row.new_rank:
        rank += f" → {row.new_rank or 'none'}"
    if row.old_rating == row.new_rating:
        return f"{row.model}: {rank}, the same rating"
    return f"{row.model}: {rank}, rating {_number(row.old_rating)} → {_number(row.new_rating)}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _row(
    key: str, before: Content | None, after: Content | None, old: Content, new: Content
) -> RowChange | None:
    reasons = tuple(_reasons(key, before, after, old, new))
    known = after or before or {}
    first, second = before or {}, after or {}
    same = all(_equal(first.get(name), second.get(name)) for name in ("rank", "rating"))
    if before is not None and after is not None and same and not reasons:
        return None
    return RowChange(
        model=known["model"],
        fingerprint=key,
        kind="new" if before is None else "gone" if after is None else "changed",
        old_rank=first.get("rank"),
        new_rank=second.get("rank"),
        old_rating=first.get("rating"),
        new_rating=second.get("rating"),
        reasons=reasons,
    )


def _equal(first: Any, second: Any) -> bool:
    """Compare two cells; what differs by rounding of another summation order is the same."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=1e-12, abs_tol=1e-12)
    return bool(first == second)


def _causes(old: Content, new: Content) -> Iterator[str]:
    for key, words in _SETTINGS.items():
        first, second = old["request"].get(key), new["request"].get(key)
        if first != second:
            yield f"{words}: {_said(first)} → {_said(second)}"
    if old["code_version"] != new["code_version"]:
        yield f"code: {old['code_version']} → {new['code_version']}"
    if old["rating"] != new["rating"]:
        yield f"rating: {old['rating']} → {new['rating']}"
    yield from _task_causes(old["tasks"], new["tasks"])
    yield from _source_causes(old["sources"], new["sources"])
    n_new = len({row["fingerprint"] for row in new["table"]} - _models(old))
    n_gone = len(_models(old) - _models(new))
    if n_new or n_gone:
        yield f"models: {n_new} added, {n_gone} gone"


def _models(content: Content) -> set[str]:
    return {row["fingerprint"] for row in content["table"]}


def _task_causes(old: Content, new: Content) -> Iterator[str]:
    for task in sorted(new.keys() - old.keys()):
        yield f"task {task} is new"
    for task in sorted(old.keys() - new.keys()):
        yield f"task {task} is gone"
    for task in sorted(old.keys() & new.keys()):
        first, second = old[task], new[task]
        if first["task_hash"] != second["task_hash"]:
            yield (
                f"task {task}: version {first['task_hash'][:8]} → {second['task_hash'][:8]}, "
                f"{first['n_examples']} → {second['n_examples']} examples"
            )
        if first["metric"] != second["metric"]:
            yield f"task {task}: metric {first['metric']} → {second['metric']}"


def _source_causes(old: Content, new: Content) -> Iterator[str]:
    nothing = {"n_comparisons": 0, "raters": [], "prompts": {}}
    for kind in sorted({*old, *new}):
        first, second = old.get(kind, nothing), new.get(kind, nothing)
        added = second["n_comparisons"] - first["n_comparisons"]
        if added:
            word = "votes" if kind in ("human", "simulated") else "verdicts"
            what = "added" if added > 0 else "taken back or left out"
            yield f"{kind} {word}: {abs(added)} {what}"
        raters = set(second["raters"]) ^ set(first["raters"])
        for rater in sorted(raters):
            yield f"{kind} {rater} is {'new' if rater in second['raters'] else 'gone'}"
        for rater in sorted(first["prompts"].keys() & second["prompts"].keys()):
            if first["prompts"][rater] != second["prompts"][rater]:
                said = " → ".join(_said(one["prompts"][rater]) for one in (first, second))
                yield f"{kind} {rater}: prompts {said}"


def _reasons(
    key: str, before: Content | None, after: Content | None, old: Content, new: Content
) -> Iterator[str]:
    for kind in sorted({*old["sources"], *new["sources"]}):
        first, second = (
            content["sources"].get(kind, {}).get("by_model", {}).get(key, 0)
            for content in (old, new)
        )
        if first != second:
            yield f"{kind} comparisons {second - first:+d}"
    for task in sorted(old["tasks"].keys() | new["tasks"].keys()):
        runs = [content["tasks"].get(task, {"runs": {}})["runs"].get(key) for content in (old, new)]
        if runs[0] == runs[1]:
            continue
        if runs[0] is None or runs[1] is None:
            yield f"{task} {'added' if runs[0] is None else 'gone'}"
        elif runs[0]["code_version"] != runs[1]["code_version"]:
            yield f"{task} run again by {runs[1]['code_version']}"
        else:
            yield f"{task} run again"
    if before is not None and after is not None:
        gone = [row.get("deprecated") for row in (before, after)]
        if gone[0] != gone[1]:
            yield f"deprecated: {gone[1]}" if gone[1] else "no longer deprecated"
        if before["model"] != after["model"]:
            yield f"was called {before['model']}"


def _said(value: Any) -> str:
    if value is None:
        return "any"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{k}={_said(v)}" for k, v in value.items() if v) or "none"
    return str(value)
