"""A leaderboard as text, cell by cell, for tables of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from evalcore.records import Standing
from leaderboards.compared_cells import compared_columns, rank_text
from leaderboards.records import Column, Leaderboard
from leaderboards.rounding import NOTHING, column_decimals, decimals, number, with_interval

__all__ = ["Cells", "TextColumn", "cells", "legend", "text_columns"]

_LEGEND = (
    "Brackets: {level:.0%} interval. Rank range: ranks that the data do not rule out. Models that "
    "share a letter are not significantly different (paired tests on the same examples, Holm's "
    "correction). * not significantly different from the best of its column."
)


class TextColumn(NamedTuple):
    """A column as text."""

    heading: tuple[str, str]
    """A line and smaller lines below it."""
    texts: Callable[[], Sequence[str]]
    """Writes its cells, one for each standing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Headings and rows: rank, model, rating, ties; votes; the reference; tasks; speed."""

    headings: tuple[tuple[str, str], ...]
    """A line and smaller lines below it for each column."""
    rows: tuple[tuple[str, ...], ...]
    legend: str


def cells(leaderboard: Leaderboard, *, tasks: bool = True) -> Cells:
    """Write each cell of a leaderboard, rounded by the uncertainty of its column.

    Parameters
    ----------
    leaderboard
        What to write.
    tasks
        Whether to have a column for each task.
    """
    columns = text_columns(leaderboard, tasks=tasks)
    return Cells(
        headings=tuple(column.heading for column in columns),
        rows=tuple(zip(*(column.texts() for column in columns), strict=True)),
        legend=legend(leaderboard),
    )


def legend(leaderboard: Leaderboard) -> str:
    """Explain brackets, ranges, letters and stars."""
    return _LEGEND.format(level=leaderboard.confidence_level)


def text_columns(leaderboard: Leaderboard, *, tasks: bool = True) -> list[TextColumn]:
    """Return the columns of :func:`cells`, whose texts are written when somebody asks for them.

    A task's stars want every two of its models tested, which a column that isn't shown is spared.
    """
    compared = [
        TextColumn(heading, partial(tuple, texts))
        for heading, texts in compared_columns(leaderboard)
    ]
    return [
        *_fixed(leaderboard),
        *compared,
        *(_task_column(column, leaderboard) for column in leaderboard.columns if tasks),
        TextColumn(
            ("Speed", "decode tokens/s"),
            lambda: [_speed(standing) for standing in leaderboard.standings],
        ),
    ]


def _fixed(leaderboard: Leaderboard) -> Iterator[TextColumn]:
    rows = leaderboard.standings
    places = decimals(standing.rating for standing in leaderboard.ranked)
    yield TextColumn(
        ("Rank", ""), lambda: [rank_text(row.rank, row.rank_low, row.rank_high) for row in rows]
    )
    yield TextColumn(("Model", ""), lambda: [_name(row, leaderboard) for row in rows])
    yield TextColumn(
        ("Rating", leaderboard.rating_title),
        lambda: [with_interval(row.rating, places) for row in rows],
    )
    yield TextColumn(("Ties", ""), lambda: [row.tie_group or NOTHING for row in rows])


def _name(standing: Standing, leaderboard: Leaderboard) -> str:
    gone = standing.model.fingerprint in leaderboard.deprecated
    return f"{standing.model.name} (deprecated)" if gone else standing.model.name


def _task_column(column: Column, leaderboard: Leaderboard) -> TextColumn:
    arrow = "↑" if column.higher_is_better else "↓"
    heading = column.task, f"{column.metric} {arrow}\nn={column.n_examples}"
    return TextColumn(heading, lambda: _results(column, leaderboard))


def _results(column: Column, leaderboard: Leaderboard) -> list[str]:
    places, best = column_decimals(column), frozenset(column.best)
    texts = []
    for standing in leaderboard.standings:
        fingerprint = standing.model.fingerprint
        estimate = standing.metrics.get(column.key)
        if estimate is None or math.isnan(estimate.value):
            texts.append(NOTHING)
        else:
            texts.append(number(estimate.value, places) + ("*" if fingerprint in best else " "))
    return texts


def _speed(standing: Standing) -> str:
    return number(standing.efficiency.decode_tokens_per_s, 0)
