"""The automated part of a leaderboard: columns of tasks, and the rating that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.store import Store
from evalcore.store.runs import RunHead
from leaderboards.categories import only_category
from leaderboards.columns import is_mean_share, make_column
from leaderboards.comparing import TaskValues
from leaderboards.flags import without_flagged
from leaderboards.rating import Rating, rate_by_scores
from leaderboards.records import Column, Versus
from leaderboards.request import BoardRequest
from leaderboards.roster import Roster
from leaderboards.selection import Selection, select_runs
from leaderboards.task_runs import TaskRuns
from leaderboards.versus import versus_scores

__all__ = ["Scored", "scored_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What automated scores say."""

    selection: Selection
    columns: tuple[Column, ...]
    rating: Rating
    versus: Mapping[str, Versus]


def scored_part(
    store: Store, roster: Roster, runs: Sequence[RunHead], request: BoardRequest
) -> Scored:
    """Choose runs, make their columns, and rate the models by them."""
    voted = roster.voted.values()
    selection = without_flagged(select_runs(roster, runs, request, voted=voted), store)
    values = _values(store, selection.runs, request.category)
    if request.category is not None:
        selection, values = only_category(selection, values, request.category)
    averaged = [task for task in values if is_mean_share(selection.runs[task], values[task])]
    rated = averaged or (list(values) if len(values) == 1 else [])
    columns = tuple(
        make_column(
            selection.runs[task],
            values[task],
            in_rating=task in rated,
            is_share=task in averaged,
            level=request.level,
        )
        for task in sorted(values, key=lambda task: (task not in rated, task))
    )
    shown = [column for column in columns if column.in_rating]
    rating = rate_by_scores(shown, values, level=request.level)
    return Scored(
        selection=selection,
        columns=columns,
        rating=rating,
        versus=versus_scores(
            [values[column.task] for column in shown],
            list(rating.estimates),
            request,
            higher_is_better=rating.higher_is_better,
        ),
    )


def _values(
    store: Store, runs: Mapping[str, TaskRuns], category: str | None
) -> dict[str, TaskValues]:
    wanted = {
        (chosen.first.task_hash, chosen.first.metric): list(chosen) for chosen in runs.values()
    }
    return dict(zip(runs, TaskValues.load(store, wanted, category=category), strict=True))
