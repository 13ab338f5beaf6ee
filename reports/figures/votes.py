"""Votes and verdicts over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from evalcore.records import Comparison
from reports.figures.axes import Axis, linear_axis
from reports.figures.drawing import SERIES, Anchor, Drawing, Figure, Line, Mark, Words
from reports.figures.plot import Plot, legend

__all__ = ["votes_figure"]

_WIDTH, _HEIGHT = 560.0, 300.0
_MOST_STEPS = 400
_NAMES = {"human": "people", "judge": "judges", "rule": "rules"}


def votes_figure(comparisons: Sequence[Comparison]) -> Figure | None:
    """Draw how many votes there were by when; None without two points in time."""
    counts: dict[str, Counter[str]] = {}
    for item in comparisons:
        counts.setdefault(_NAMES.get(item.rater_kind, item.rater_kind), Counter())[
            item.created_utc
        ] += 1
    times = sorted({time for by_time in counts.values() for time in by_time})
    if len(times) < 2:
        return None
    steps = _steps(times)
    sums = {kind: _cumulative(by_time, steps) for kind, by_time in sorted(counts.items())}
    total = {kind: line[-1] for kind, line in sums.items()}
    said = ", ".join(f"{n:,} by {kind}" for kind, n in total.items())
    return Figure(
        name="votes-over-time",
        section="votes",
        title="Votes over time",
        caption="All votes and verdicts up to a time (UTC), by who gave them.",
        description=f"{said}, from {times[0]} to {times[-1]}",
        drawing=_drawing(steps, sums),
        rows=tuple(
            {"until_utc": time, **{kind: line[place] for kind, line in sums.items()}}
            for place, time in enumerate(steps)
        ),
    )


def _steps(times: Sequence[str]) -> list[str]:
    """Take the times themselves, or as many spread evenly over them as a line needs."""
    if len(times) <= _MOST_STEPS:
        return list(times)
    places = {round(i * (len(times) - 1) / (_MOST_STEPS - 1)) for i in range(_MOST_STEPS)}
    return [times[place] for place in sorted(places)]


def _cumulative(by_time: Counter[str], steps: Sequence[str]) -> list[int]:
    ordered = sorted(by_time.items())
    line, total, place = [], 0, 0
    for step in steps:
        while place < len(ordered) and ordered[place][0] <= step:
            total += ordered[place][1]
            place += 1
        line.append(total)
    return line


def _drawing(steps: Sequence[str], sums: dict[str, list[int]]) -> Drawing:
    seconds = [_parsed(step).timestamp() for step in steps]
    x = Axis(low=seconds[0], high=seconds[-1], ticks=())
    plot = Plot(
        x=x,
        y=linear_axis([0.0, *(line[-1] for line in sums.values())]),
        left=64,
        top=34,
        right=_WIDTH - 24,
        bottom=_HEIGHT - 46,
    )
    marks: list[Mark] = plot.marks(x_title="UTC", y_title="votes so far")
    for place, label in _dates(steps):
        at = plot.left + (plot.right - plot.left) * place
        marks.append(Line(points=((at, plot.bottom), (at, plot.bottom + 5))))
        anchor: Anchor = "start" if place == 0.0 else "end" if place == 1.0 else "middle"
        marks.append(Words(x=at, y=plot.bottom + 19, text=label, anchor=anchor))
    entries = []
    for (kind, line), (tone, symbol, dashes) in zip(sums.items(), SERIES, strict=False):
        points = [(plot.across(seconds[0]), plot.down(0.0))]
        for at, total in zip(seconds, line, strict=True):
            points += [(plot.across(at), points[-1][1]), (plot.across(at), plot.down(total))]
        marks.append(Line(points=tuple(points), tone=tone, width=2, dashes=dashes))
        entries.append((f"{kind} ({line[-1]:,})", tone, symbol))
    return Drawing(
        width=_WIDTH,
        height=_HEIGHT,
        marks=(*marks, *legend(entries, x=64, y=16, longest=_WIDTH - 8)),
    )


def _dates(steps: Sequence[str]) -> list[tuple[float, str]]:
    """Label the two ends and the middle, to the day or to the minute."""
    first, last = _parsed(steps[0]), _parsed(steps[-1])
    form = "%Y-%m-%d" if last - first > timedelta(days=3) else "%m-%d %H:%M"
    return [(share, (first + share * (last - first)).strftime(form)) for share in (0.0, 0.5, 1.0)]


def _parsed(time: str) -> datetime:
    return datetime.fromisoformat(time).astimezone(UTC)
