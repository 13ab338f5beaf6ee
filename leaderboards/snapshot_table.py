"""A snapshot as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["snapshot_rows"]

_SHOWN = (
    "rank",
    "model",
    "rating",
    "rating_low",
    "rating_high",
    "tie_group",
    "human_rating",
    "human_rank",
    "judge_rating",
    "judge_rank",
    "score_verdict",
    "human_verdict",
    "judge_verdict",
    "deprecated",
)


def snapshot_rows(content: Mapping[str, Any]) -> list[dict[str, object]]:
    """Choose the columns that have something in them, and round to four digits."""
    table = content["table"]
    names = [name for name in _SHOWN if any(row.get(name) is not None for row in table)]
    return [{name: _text(row.get(name)) for name in names} for row in table]


def _text(cell: object) -> object:
    if cell is None:
        return "–"
    return f"{cell:.4g}" if isinstance(cell, float) else cell
