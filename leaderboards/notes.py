"""What a reader of a leaderboard has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalcore.records import ModelSpec
from leaderboards.rating import Rating
from leaderboards.records import Column

__all__ = ["notes"]


def notes(
    models: Mapping[str, ModelSpec], columns: Sequence[Column], rating: Rating
) -> Iterator[str]:
    """Yield what is missing, left out or not averaged, a sentence each."""
    rated = [column for column in columns if column.in_rating]
    shown = ", ".join(column.key for column in columns if not column.in_rating)
    if not rated:
        yield (
            "no rating: no task's metric is a mean of values in [0, 1] of which more is better; "
            f"choose one task to rank by it: {shown}"
        )
    elif shown:
        yield f"shown but not averaged into the rating: {shown}"
    for fingerprint in (name for name in models if name not in rating.estimates):
        lacking = ", ".join(c.task for c in rated if not c.has_value(fingerprint))
        if lacking:
            yield f"{models[fingerprint].name} has no rank: no result on {lacking}"
    if rated and not rating.estimates:
        yield "no model has results on all tasks; choose tasks that all models share"
    for column in columns:
        for fingerprint, head in column.runs.heads.items():
            if not head.n_unscored and not head.warnings:
                continue
            name = models[fingerprint].name
            if head.n_unscored:
                yield (
                    f"{name}, {column.task}: {head.n_unscored} of {column.n_examples} examples "
                    "could not be scored and are left out"
                )
            yield from (f"{name}, {column.task}: {warning}" for warning in head.warnings)
