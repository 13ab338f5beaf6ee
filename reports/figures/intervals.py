"""Estimates with their intervals, one below the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import Estimate
from evalcore.spreadsheet import Cell
from leaderboards.records import Leaderboard
from leaderboards.rounding import decimals, with_interval
from reports.figures.axes import Axis, linear_axis
from reports.figures.drawing import LETTER, Dot, Drawing, Figure, Line, Mark, Symbol, Tone, Words
from reports.figures.plot import name_width, short_name
from reports.figures.shares import in_points

__all__ = ["Bar", "estimate_cells", "interval_drawing", "rating_figure"]

_ROW = 24.0
_PLOT = 400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A line of an interval plot."""

    name: str
    estimate: Estimate
    tone: Tone = "strong"
    symbol: Symbol = "circle"


def rating_figure(leaderboard: Leaderboard) -> Figure | None:
    """Draw the ranked models' ratings; None without any."""
    ranked, leaders = leaderboard.ranked, leaderboard.leaders
    if not ranked:
        return None
    places = decimals(standing.rating for standing in ranked)
    bars = [
        Bar(
            name=standing.model.name,
            estimate=standing.rating,
            tone="strong" if standing.model.fingerprint in leaders else "muted",
            symbol="circle" if standing.model.fingerprint in leaders else "square",
        )
        for standing in ranked
    ]
    level = f"{leaderboard.confidence_level:.0%}"
    return Figure(
        name="ratings",
        section="ratings",
        title="Ratings",
        caption=f"{_capital(leaderboard.rating_title)}, with {level} intervals. Blue and round: "
        "the leader, and models not significantly different from it. Intervals may overlap where a "
        "paired test finds a difference.",
        description="; ".join(f"{bar.name}: {with_interval(bar.estimate, places)}" for bar in bars),
        drawing=interval_drawing(bars, places=places),
        rows=tuple(
            {
                "model": standing.model.name,
                "fingerprint": standing.model.fingerprint,
                "rank": standing.rank,
                "rank_low": standing.rank_low,
                "rank_high": standing.rank_high,
                **estimate_cells("rating", standing.rating),
            }
            for standing in ranked
        ),
    )


def interval_drawing(
    bars: Sequence[Bar], *, places: int, zero: float | None = None, as_points: bool = False
) -> Drawing:
    """Draw estimates below each other.

    Parameters
    ----------
    bars
        From top to bottom.
    places
        Decimals of the numbers beside them.
    zero
        Where a line marks that there is no effect.
    as_points
        Whether values are shares to be written in points of a hundred.
    """
    ends = [v for b in bars for v in (b.estimate.low, b.estimate.value, b.estimate.high)]
    axis = linear_axis([*ends, *([] if zero is None else [zero])])
    left = name_width([bar.name for bar in bars])
    texts = [_text(bar.estimate, places, as_points=as_points) for bar in bars]
    right = left + _PLOT
    bottom = _ROW * len(bars) + 8

    def across(value: float) -> float:
        return left + _PLOT * axis.share(value)

    marks: list[Mark] = [*_grid(axis, left, bottom, as_points=as_points)]
    if zero is not None:
        marks.append(Line(points=((across(zero), 4), (across(zero), bottom)), tone="soft"))
    for place, (bar, text) in enumerate(zip(bars, texts, strict=True)):
        y = 16 + _ROW * place
        marks.append(
            Words(
                x=left - 10,
                y=y + 4,
                text=short_name(bar.name),
                anchor="end",
                tone="ink",
                what=bar.name,
            )
        )
        found = bar.estimate
        if math.isfinite(found.low) or math.isfinite(found.high):
            span = ((across(found.low), y), (across(found.high), y))
            marks.append(Line(points=span, tone=bar.tone, width=2.5))
        marks.append(
            Dot(
                x=across(found.value),
                y=y,
                tone=bar.tone,
                symbol=bar.symbol,
                what=f"{bar.name}: {text}",
            )
        )
        marks.append(Words(x=right + 14, y=y + 4, text=text, tone="ink"))
    width = right + 20 + LETTER * max((len(text) for text in texts), default=0)
    return Drawing(width=width, height=bottom + 26, marks=tuple(marks))


def estimate_cells(name: str, estimate: Estimate) -> Mapping[str, Cell]:
    """Return an estimate as cells of a data file."""
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_n": estimate.n,
    }


def _grid(axis: Axis, left: float, bottom: float, *, as_points: bool) -> list[Mark]:
    marks: list[Mark] = []
    for tick in axis.ticks:
        x = left + _PLOT * axis.share(tick)
        marks.append(Line(points=((x, 4), (x, bottom))))
        label = axis.label(100 * tick if as_points else tick)
        marks.append(Words(x=x, y=bottom + 18, text=label, anchor="middle"))
    return marks


def _text(estimate: Estimate, places: int, *, as_points: bool) -> str:
    return with_interval(in_points(estimate) if as_points else estimate, places)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
