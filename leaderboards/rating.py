"""The rating: what the models are ranked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import Estimate
from leaderboards.comparing import TaskValues, compare, compare_on_average, mean_over_tasks
from leaderboards.records import Column, Pair

__all__ = ["Rating", "rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One number for each model that has all that is needed, and every two of them compared."""

    title: str
    higher_is_better: bool
    estimates: Mapping[str, Estimate]
    """By fingerprint."""
    pairs: tuple[Pair, ...]


def rate(columns: Sequence[Column], values: Mapping[str, TaskValues], *, level: float) -> Rating:
    """Rate the models that have a value in every column.

    A single column is its own rating; several are averaged.
    """
    if not columns:
        return Rating(title="none", higher_is_better=True, estimates={}, pairs=())
    complete = [
        fingerprint
        for fingerprint in columns[0].runs
        if all(column.has_value(fingerprint) for column in columns)
    ]
    if len(columns) == 1:
        (column,) = columns
        return Rating(
            title=f"{column.task}, {column.metric}",
            higher_is_better=column.higher_is_better,
            estimates={
                fingerprint: column.runs[fingerprint].estimates[column.metric]
                for fingerprint in complete
            },
            pairs=column.pairs
            if len(complete) == len(column.runs)
            else compare(values[column.task], complete, level=level),
        )
    tasks = [values[column.task] for column in columns]
    return Rating(
        title=f"mean over {len(columns)} tasks",
        higher_is_better=True,
        estimates={
            fingerprint: mean_over_tasks(tasks, fingerprint, level=level)
            for fingerprint in complete
        },
        pairs=compare_on_average(tasks, complete, level=level),
    )
