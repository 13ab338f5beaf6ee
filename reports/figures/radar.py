"""How models do by category."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import Estimate, Standing
from leaderboards.records import Column, Leaderboard
from leaderboards.rounding import decimals, with_interval
from reports.figures.axes import linear_axis
from reports.figures.drawing import (
    SERIES,
    Anchor,
    Dot,
    Drawing,
    Figure,
    Line,
    Mark,
    Outline,
    Words,
)
from reports.figures.intervals import estimate_cells
from reports.figures.plot import legend, short_name

__all__ = ["radar_figures"]

_WIDTH, _RADIUS = 560.0, 165.0
_CENTRE = (_WIDTH / 2, 230.0)
_MOST_AXES = 12
_MOST_FIGURES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    standing: Standing
    estimates: Mapping[str, Estimate]
    """By axis."""


def radar_figures(leaderboard: Leaderboard) -> list[Figure]:
    """Draw the leading models over the categories of each task, and over the tasks of the rating.

    Tasks with three to twelve categories have a figure, the first six of them; so have three to
    twelve tasks.
    """
    candidates = [
        _over_tasks(leaderboard),
        *(_by_category(leaderboard, c) for c in leaderboard.columns),
    ]
    return [figure for figure in candidates if figure is not None][:_MOST_FIGURES]


def _over_tasks(leaderboard: Leaderboard) -> Figure | None:
    rated = [column for column in leaderboard.columns if column.in_rating]
    series = [
        _Series(
            standing=standing,
            estimates={
                column.task: standing.metrics[column.key]
                for column in rated
                if column.key in standing.metrics  # votes rank models without a task, too
            },
        )
        for standing in leaderboard.ranked
    ]
    return _figure("tasks", "Task by task", "each task's metric", series)


def _by_category(leaderboard: Leaderboard, column: Column) -> Figure | None:
    start = f"{column.metric}/"
    if not column.higher_is_better:
        return None
    standings = [s for s in leaderboard.standings if s.model.fingerprint in column.runs]
    series = [
        _Series(
            standing=standing,
            estimates={
                key.removeprefix(start): estimate
                for key, estimate in column.runs[standing.model.fingerprint].estimates.items()
                if key.startswith(start)
            },
        )
        for standing in standings
    ]
    name = "".join(letter if letter.isalnum() else "-" for letter in column.task.lower())
    return _figure(
        f"categories-{name}",
        f"{column.task} by category",
        f"{column.metric} of each category",
        series,
    )


def _figure(name: str, title: str, what: str, series: Sequence[_Series]) -> Figure | None:
    axes = list(dict.fromkeys(axis for one in series for axis in one.estimates))
    complete = [one for one in series if set(one.estimates) == set(axes)]
    if not 3 <= len(axes) <= _MOST_AXES or not complete:
        return None
    shown = complete[: len(SERIES)]
    places = decimals(estimate for one in shown for estimate in one.estimates.values())
    left_out = len(complete) - len(shown)
    return Figure(
        name=f"radar-{name}",
        section="categories",
        title=title,
        caption=f"{what[:1].upper()}{what[1:]}, with intervals along the spokes; further out is "
        "better. The areas mean nothing."
        + (
            f" The first {len(shown)} of {len(complete)} models; the data have all."
            if left_out
            else ""
        ),
        description="; ".join(
            f"{one.standing.model.name}: "
            + ", ".join(f"{axis} {with_interval(one.estimates[axis], places)}" for axis in axes)
            for one in shown
        ),
        drawing=_drawing(axes, shown, places),
        rows=tuple(
            {
                "model": one.standing.model.name,
                "fingerprint": one.standing.model.fingerprint,
                "category": axis,
                **estimate_cells("value", one.estimates[axis]),
            }
            for one in complete
            for axis in axes
        ),
    )


def _drawing(axes: Sequence[str], shown: Sequence[_Series], places: int) -> Drawing:
    found = [e for one in shown for e in one.estimates.values()]
    scale = linear_axis([0.0, *(v for e in found for v in (e.low, e.value, e.high))], n_ticks=4)
    marks: list[Mark] = []
    for tick in scale.ticks[1:]:
        ring = [_spoke(place, len(axes), scale.share(tick)) for place in range(len(axes) + 1)]
        marks.append(Line(points=tuple(ring)))
    for place, axis in enumerate(axes):
        marks.append(Line(points=(_CENTRE, _spoke(place, len(axes), 1.0))))
        marks.append(_axis_label(place, len(axes), axis))
    for tick in scale.ticks:
        share = scale.share(tick) * math.cos(
            math.pi / len(axes)
        )  # on the middle of the ring's side
        x, y = _spoke(0, len(axes), share, math.pi / len(axes))
        marks.append(Words(x=x + 3, y=y - 2, text=scale.label(tick), size=11))
    for number, (one, (tone, symbol, dashes)) in enumerate(zip(shown, SERIES, strict=False)):
        turned = (
            number - (len(shown) - 1) / 2
        ) * 0.035  # whiskers side by side, not over each other
        corners = []
        for place, axis in enumerate(axes):
            estimate = one.estimates[axis]
            ends = tuple(
                _spoke(place, len(axes), scale.share(end), turned)
                for end in (estimate.low, estimate.high)
            )
            marks.append(Line(points=ends, tone=tone, width=1.5))
            corners.append(_spoke(place, len(axes), scale.share(estimate.value), turned))
        marks.append(Outline(points=tuple(corners), tone=tone, strength=0.06))
        marks.append(Line(points=(*corners, corners[0]), tone=tone, width=1.5, dashes=dashes))
        for (x, y), axis in zip(corners, axes, strict=True):
            said = with_interval(one.estimates[axis], places)
            what = f"{one.standing.model.name}, {axis}: {said}"
            marks.append(Dot(x=x, y=y, tone=tone, symbol=symbol, size=4, what=what))
    entries = [
        (one.standing.model.name, tone, symbol)
        for one, (tone, symbol, _dashes) in zip(shown, SERIES, strict=False)
    ]
    return Drawing(
        width=_WIDTH, height=420.0, marks=(*marks, *legend(entries, x=10, y=16, longest=_WIDTH))
    )


def _spoke(place: int, n_axes: int, share: float, turned: float = 0.0) -> tuple[float, float]:
    angle = 2 * math.pi * place / n_axes - math.pi / 2 + turned
    x, y = _CENTRE
    return x + _RADIUS * share * math.cos(angle), y + _RADIUS * share * math.sin(angle)


def _axis_label(place: int, n_axes: int, axis: str) -> Words:
    x, y = _spoke(place, n_axes, 1.13)
    lean = math.cos(2 * math.pi * place / n_axes - math.pi / 2)
    anchor: Anchor = "middle" if abs(lean) < 0.2 else ("start" if lean > 0 else "end")
    return Words(x=x, y=y + 4, text=short_name(axis), anchor=anchor, tone="ink", what=axis)
