"""The rating: what the models are ranked by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import Estimate
from leaderboards.columns import best_first
from leaderboards.comparing import TaskValues, compare, compare_on_average, means_over_tasks
from leaderboards.pairs import Pairs, no_pairs
from leaderboards.records import Column, Source
from leaderboards.request import By

__all__ = ["RankRange", "Rating", "rate_by_scores", "rate_by_votes"]


@dataclass(frozen=True, slots=True)
class RankRange:
    """Ranks that the data do not rule out."""

    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """One number for each model that has all that is needed, and every two of them compared."""

    by: By
    title: str
    higher_is_better: bool
    estimates: Mapping[str, Estimate]
    """By fingerprint."""
    ranges: Mapping[str, RankRange]
    """By fingerprint."""
    pairs: Pairs

    @property
    def order(self) -> list[str]:
        """Fingerprints from best to worst."""
        return _order(self.estimates, higher_is_better=self.higher_is_better)


def rate_by_scores(
    columns: Sequence[Column], values: Mapping[str, TaskValues], *, level: float
) -> Rating:
    """Rate the models that have a value in every column.

    A single column is its own rating; several are averaged.
    """
    if not columns:
        return Rating(
            by="score",
            title="none",
            higher_is_better=True,
            estimates={},
            ranges={},
            pairs=no_pairs(),
        )
    with_values = [column.with_values for column in columns]
    complete = [name for name in columns[0].runs if all(name in some for some in with_values)]
    if len(columns) == 1:
        (column,) = columns
        estimates = {
            fingerprint: column.runs[fingerprint].estimates[column.metric]
            for fingerprint in complete
        }
        pairs = column.pairs
        if len(complete) < len(column.runs):
            pairs = compare(values[column.task], complete, level=level)
        title, higher = f"{column.task}, {column.metric}", column.higher_is_better
    else:
        tasks = [values[column.task] for column in columns]
        estimates = means_over_tasks(tasks, complete, level=level)
        pairs = compare_on_average(tasks, complete, level=level)
        title, higher = f"mean over {len(columns)} tasks", True
    return Rating(
        by="score",
        title=title,
        higher_is_better=higher,
        estimates=estimates,
        ranges=_ranges(_order(estimates, higher_is_better=higher), pairs),
        pairs=pairs,
    )


def rate_by_votes(source: Source) -> Rating:
    """Rate models by the comparisons of one kind of rater."""
    ranked = {name: row for name, row in source.rows.items() if row.rank is not None}
    return Rating(
        by=source.kind,
        title=f"{source.title}, Elo scale",
        higher_is_better=True,
        estimates={name: row.rating for name, row in ranked.items()},
        ranges={
            name: RankRange(row.rank_low or 1, row.rank_high or len(ranked))
            for name, row in ranked.items()
        },
        pairs=source.pairs,
    )


def _order(estimates: Mapping[str, Estimate], *, higher_is_better: bool) -> list[str]:
    values = {name: estimate.value for name, estimate in estimates.items()}
    return best_first(values, higher_is_better=higher_is_better)


def _ranges(order: Sequence[str], pairs: Pairs) -> dict[str, RankRange]:
    """From 1 + the significantly better models to all but the significantly worse ones."""
    differs = pairs.differ(order)
    return {
        name: RankRange(
            1 + int(differs[place, :place].sum()), len(order) - int(differs[place, place:].sum())
        )
        for place, name in enumerate(order)
    }
