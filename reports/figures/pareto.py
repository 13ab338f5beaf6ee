"""Quality against what it costs, and the models that nothing better costs less than."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evalcore.records import Standing
from leaderboards.records import Cost, Leaderboard
from leaderboards.rounding import decimals, with_interval
from reports.figures.axes import linear_axis, log_axis
from reports.figures.drawing import Dot, Drawing, Figure, Line, Mark
from reports.figures.intervals import estimate_cells
from reports.figures.plot import Plot, labels_beside, line_boxes

__all__ = ["pareto_figures", "pareto_front"]

_WIDTH, _HEIGHT = 560.0, 350.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    name: str
    title: str
    unit: str
    less_is_better: bool
    of: Callable[[Cost], float]


_MEASURES = (
    _Measure(
        name="size",
        title="Quality against size",
        unit="size on disk, MB",
        less_is_better=True,
        of=lambda cost: cost.disk_bytes / 1e6,
    ),
    _Measure(
        name="speed",
        title="Quality against speed",
        unit="generated tokens per second",
        less_is_better=False,
        of=lambda cost: cost.decode_tokens_per_s,
    ),
    _Measure(
        name="memory",
        title="Quality against memory",
        unit="peak memory, MB",
        less_is_better=True,
        of=lambda cost: cost.memory_bytes / 1e6,
    ),
    _Measure(
        name="training-cost",
        title="Quality against the cost of training",
        unit="published cost, US dollars",
        less_is_better=True,
        of=lambda cost: cost.training_usd,
    ),
    _Measure(
        name="training-compute",
        title="Quality against training compute",
        unit="FLOPs that trained its base",
        less_is_better=True,
        of=lambda cost: cost.training_flops,
    ),
    _Measure(
        name="answering-cost",
        title="Quality against the cost of answering",
        unit="paid for the answers, US dollars",
        less_is_better=True,
        of=lambda cost: cost.api_usd,
    ),
    _Measure(
        name="energy",
        title="Quality against energy",
        unit="joules per token",
        less_is_better=True,
        of=lambda cost: cost.joules_per_token,
    ),
)


def pareto_figures(leaderboard: Leaderboard) -> list[Figure]:
    """Draw rating against what models take, where at least two of them have it."""
    figures = []
    for measure in _MEASURES:
        costs = leaderboard.costs
        points = [
            (item, measure.of(costs[item.model.fingerprint]))
            for item in leaderboard.ranked
            if item.model.fingerprint in costs and math.isfinite(item.rating.value)
        ]
        known = [(item, x) for item, x in points if math.isfinite(x) and x > 0]
        if len({x for _item, x in known}) > 1:
            figures.append(_figure(leaderboard, measure, known))
    return figures


def pareto_front(
    points: Sequence[tuple[float, float]], *, less_is_better: bool, higher_is_better: bool
) -> list[int]:
    """Find the points that no other one equals or beats in both, and beats in one.

    Parameters
    ----------
    points
        Cost and quality of each.
    less_is_better
        Of the first.
    higher_is_better
        Of the second.

    Returns
    -------
    list of int
        Positions, from least to most cost.

    Examples
    --------
    >>> pareto_front([(1, 5), (2, 4), (3, 9)], less_is_better=True, higher_is_better=True)
    [0, 2]
    """
    costs = [x if less_is_better else -x for x, _y in points]
    gains = [y if higher_is_better else -y for _x, y in points]
    order = sorted(range(len(points)), key=lambda place: (costs[place], -gains[place]))
    front: list[int] = []
    best = -math.inf
    for place in order:
        equal = bool(front) and (costs[place], gains[place]) == (costs[front[-1]], gains[front[-1]])
        if gains[place] > best or equal:
            front.append(place)
            best = gains[place]
    return front


def _figure(
    leaderboard: Leaderboard, measure: _Measure, points: Sequence[tuple[Standing, float]]
) -> Figure:
    places = decimals(standing.rating for standing in leaderboard.ranked)
    front = pareto_front(
        [(x, standing.rating.value) for standing, x in points],
        less_is_better=measure.less_is_better,
        higher_is_better=leaderboard.rating_higher_is_better,
    )
    names = [points[place][0].model.name for place in front]
    return Figure(
        name=f"quality-{measure.name}",
        section="cost",
        title=measure.title,
        caption=f"Rating with its interval against {measure.unit}, on a logarithmic scale. Filled "
        "and joined: models that no other one beats in one of both without losing in the other, as "
        "measured; intervals are not considered.",
        description=f"Best trade-offs: {', '.join(names)}. All: "
        + "; ".join(
            f"{standing.model.name}: {with_interval(standing.rating, places)}, {x:.3g}"
            for standing, x in points
        ),
        drawing=_drawing(measure, points, front, places),
        rows=tuple(
            {
                "model": standing.model.name,
                "fingerprint": standing.model.fingerprint,
                measure.unit: x,
                **estimate_cells("rating", standing.rating),
                "on_front": place in front,
            }
            for place, (standing, x) in enumerate(points)
        ),
    )


def _drawing(
    measure: _Measure, points: Sequence[tuple[Standing, float]], front: Sequence[int], places: int
) -> Drawing:
    ends = [v for s, _x in points for v in (s.rating.low, s.rating.value, s.rating.high)]
    plot = Plot(
        x=log_axis([x for _standing, x in points]),
        y=linear_axis(ends),
        left=64,
        top=14,
        right=_WIDTH - 16,
        bottom=_HEIGHT - 46,
    )
    dots = [(plot.across(x), plot.down(standing.rating.value)) for standing, x in points]
    marks = plot.marks(x_title=measure.unit, y_title="rating")
    for (standing, _x), (x, _y) in zip(points, dots, strict=True):
        low, high = plot.down(standing.rating.low), plot.down(standing.rating.high)
        marks.append(Line(points=((x, low), (x, high)), tone="muted", width=1.5))
    if len(front) > 1:
        joined = tuple(dots[place] for place in front)
        marks.append(Line(points=joined, tone="strong", width=1.5, dashes="5 4"))
    marks += _signs(measure, points, dots, front, places)
    taken = [
        (x - 2, plot.down(standing.rating.high), x + 2, plot.down(standing.rating.low))
        for (standing, _x), (x, _y) in zip(points, dots, strict=True)
    ]
    taken += line_boxes([dots[place] for place in front])
    order = [*front, *(place for place in range(len(points)) if place not in front)]
    labels = labels_beside(
        [dots[place] for place in order],
        [points[place][0].model.name for place in order],
        area=(plot.left, 0.0, _WIDTH, plot.bottom),
        taken=taken,
    )
    return Drawing(width=_WIDTH, height=_HEIGHT, marks=(*marks, *labels))


def _signs(
    measure: _Measure,
    points: Sequence[tuple[Standing, float]],
    dots: Sequence[tuple[float, float]],
    front: Sequence[int],
    places: int,
) -> list[Mark]:
    return [
        Dot(
            x=dot[0],
            y=dot[1],
            tone="strong" if place in front else "muted",
            hollow=place not in front,
            what=f"{standing.model.name}: {with_interval(standing.rating, places)}; "
            f"{measure.unit} {x:.3g}",
        )
        for place, ((standing, x), dot) in enumerate(zip(points, dots, strict=True))
    ]
