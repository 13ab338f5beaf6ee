"""What the figures show, as positions that the template draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evalcore.records import Standing
from leaderboards.records import Leaderboard
from reports.axes import Axis, linear_axis, log_axis

__all__ = ["Bar", "Dot", "IntervalPlot", "Label", "Scatter", "Tick", "interval_plot", "scatters"]

_WIDTH, _HEIGHT = 520.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 16.0, 16.0, 44.0
_LETTER = 6.8

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    """In percent of the width, or in the drawing's units."""
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A model's interval, in percent of the width."""

    standing: Standing
    low: float
    value: float
    high: float
    tied: bool
    """Whether it is not significantly different from the leader, or is the leader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPlot:
    """The ranked models' ratings."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text and where it stands, in the drawing's units."""

    text: str
    x: float
    y: float
    anchor: str

    def box(self, length: float) -> _Box:
        """Left, top, right and bottom of the text."""
        left = self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor] * length
        return left, self.y - 12, left + length, self.y + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A model in a scatter plot, in the drawing's units."""

    standing: Standing
    x: float
    y: float
    low_y: float
    high_y: float
    label: Label | None
    """The model's name; None where there is no room for it."""
    what: str
    """The value on the x axis in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """Rating against another quantity."""

    title: str
    x_title: str
    dots: tuple[Dot, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = _HEIGHT - _BOTTOM


def interval_plot(leaderboard: Leaderboard) -> IntervalPlot:
    """Lay out the ranked models' ratings with their intervals."""
    ranked, leaders = leaderboard.ranked, leaderboard.leaders
    axis = _rating_axis(ranked)
    return IntervalPlot(
        bars=tuple(
            Bar(
                standing=standing,
                low=_percent(axis, standing.rating.low),
                value=_percent(axis, standing.rating.value),
                high=_percent(axis, standing.rating.high),
                tied=standing.model.fingerprint in leaders,
            )
            for standing in ranked
        ),
        ticks=tuple(Tick(at=_percent(axis, tick), label=axis.label(tick)) for tick in axis.ticks),
    )


def scatters(leaderboard: Leaderboard) -> list[Scatter]:
    """Lay out rating against size on disk and against speed, where at least two models have it."""
    candidates = [
        ("Quality against size", "size on disk, MB", _size_mb),
        ("Quality against speed", "generated tokens per second", _speed),
    ]
    found = []
    for title, x_title, measure in candidates:
        points = [(item, measure(item)) for item in leaderboard.ranked]
        known = [(item, x) for item, x in points if math.isfinite(x) and x > 0]
        if len(known) > 1:
            found.append(_scatter(title, x_title, known))
    return found


def _size_mb(standing: Standing) -> float:
    return standing.efficiency.size_on_disk_bytes / 1e6


def _speed(standing: Standing) -> float:
    return standing.efficiency.decode_tokens_per_s


def _scatter(title: str, x_title: str, points: Sequence[tuple[Standing, float]]) -> Scatter:
    x_axis = log_axis([x for _standing, x in points])
    y_axis = _rating_axis([standing for standing, _x in points])
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(value: float) -> float:
        return _LEFT + width * x_axis.share(value)

    def down(value: float) -> float:
        return _TOP + height * (1.0 - y_axis.share(value))

    places = [(across(x), down(standing.rating.value)) for standing, x in points]
    labels = _place_labels(places, [standing.model.name for standing, _x in points])
    return Scatter(
        title=title,
        x_title=x_title,
        dots=tuple(
            Dot(
                standing=standing,
                x=place[0],
                y=place[1],
                low_y=down(standing.rating.low),
                high_y=down(standing.rating.high),
                label=label,
                what=f"{x_title}: {x:.3g}",
            )
            for (standing, x), place, label in zip(points, places, labels, strict=True)
        ),
        x_ticks=tuple(Tick(at=across(tick), label=x_axis.label(tick)) for tick in x_axis.ticks),
        y_ticks=tuple(Tick(at=down(tick), label=y_axis.label(tick)) for tick in y_axis.ticks),
    )


def _place_labels(
    places: Sequence[tuple[float, float]], names: Sequence[str]
) -> list[Label | None]:
    """Put each name beside its dot where it covers nothing; None where there is no such place."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    labels: list[Label | None] = []
    for (x, y), name in zip(places, names, strict=True):
        length = _LETTER * len(name)
        candidates = [
            Label(text=name, x=x + 9, y=y + 4, anchor="start"),
            Label(text=name, x=x - 9, y=y + 4, anchor="end"),
            Label(text=name, x=x, y=y - 10, anchor="middle"),
            Label(text=name, x=x, y=y + 20, anchor="middle"),
        ]
        free = (item for item in candidates if _is_free(item.box(length), taken))
        label = next(free, None)
        if label is not None:
            taken.append(label.box(length))
        labels.append(label)
    return labels


def _is_free(box: _Box, taken: Sequence[_Box]) -> bool:
    left, top, right, bottom = box
    within = left >= _LEFT and right <= _WIDTH and top >= 0 and bottom <= _HEIGHT - _BOTTOM
    return within and not any(
        left < other[2] and right > other[0] and top < other[3] and bottom > other[1]
        for other in taken
    )


def _rating_axis(standings: Sequence[Standing]) -> Axis:
    ratings = [standing.rating for standing in standings]
    return linear_axis(
        [end for rating in ratings for end in (rating.low, rating.value, rating.high)]
    )


def _percent(axis: Axis, value: float) -> float:
    return 100.0 * axis.share(value)
