"""A leaderboard as text, cell by cell, for tables of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalcore.records import Standing
from leaderboards.compared_cells import compared_columns, rank_text
from leaderboards.records import Column, Leaderboard
from leaderboards.rounding import NOTHING, column_decimals, decimals, number, with_interval

__all__ = ["LEGEND", "Cells", "cells"]

LEGEND = (
    "Brackets: {level:.0%} interval. Rank range: ranks that the data do not rule out. Models that "
    "share a letter are not significantly different (paired tests on the same examples, Holm's "
    "correction). * not significantly different from the best of its column."
)


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
    level = leaderboard.confidence_level
    places = decimals(standing.rating for standing in leaderboard.ranked)
    columns = [_column(column, leaderboard) for column in leaderboard.columns if tasks]
    fixed = (("Rank", ""), ("Model", ""), ("Rating", leaderboard.rating_title), ("Ties", ""))
    fixed_rows = [
        (
            rank_text(standing.rank, standing.rank_low, standing.rank_high),
            _name(standing, leaderboard),
            with_interval(standing.rating, places),
            standing.tie_group or NOTHING,
        )
        for standing in leaderboard.standings
    ]
    columns = [*compared_columns(leaderboard), *columns]
    last = (("Speed", "decode tokens/s"),)
    return Cells(
        headings=(*fixed, *(heading for heading, _texts in columns), *last),
        rows=tuple(
            (*row, *(texts[index] for _heading, texts in columns), _speed(standing))
            for index, (row, standing) in enumerate(
                zip(fixed_rows, leaderboard.standings, strict=True)
            )
        ),
        legend=LEGEND.format(level=level),
    )


def _name(standing: Standing, leaderboard: Leaderboard) -> str:
    gone = standing.model.fingerprint in leaderboard.deprecated
    return f"{standing.model.name} (deprecated)" if gone else standing.model.name


def _column(column: Column, leaderboard: Leaderboard) -> tuple[tuple[str, str], list[str]]:
    places = column_decimals(column)
    texts = []
    for standing in leaderboard.standings:
        fingerprint = standing.model.fingerprint
        estimate = standing.metrics.get(column.key)
        if estimate is None or math.isnan(estimate.value):
            texts.append(NOTHING)
        else:
            mark = "*" if fingerprint in column.best else " "
            texts.append(number(estimate.value, places) + mark)
    arrow = "↑" if column.higher_is_better else "↓"
    return (column.task, f"{column.metric} {arrow}\nn={column.n_examples}"), texts


def _speed(standing: Standing) -> str:
    return number(standing.efficiency.decode_tokens_per_s, 0)
