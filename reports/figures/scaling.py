"""How the loss falls with the size of models, and with the compute that trained them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from evalcore.stats.scaling import ScalingLaw, scaling_law
from leaderboards.records import Column, Leaderboard
from reports.figures.axes import log_axis
from reports.figures.drawing import Dot, Drawing, Figure, Line, Mark, Outline
from reports.figures.intervals import estimate_cells
from reports.figures.plot import Plot, labels_beside

__all__ = ["scaling_figures"]

_WIDTH, _HEIGHT = 560.0, 350.0
_STEPS = 60
_FLOOR_FROM = 6
"""Models from which a floor is fitted, too; with fewer it would follow their errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    name: str
    title: str
    axis: str
    of: Callable[[ModelSpec], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    spec: ModelSpec
    x: float
    loss: float


_SIZES = (
    _Size(
        name="parameters",
        title="parameters",
        axis="parameters",
        of=lambda spec: spec.n_parameters or math.nan,
    ),
    _Size(
        name="compute",
        title="training compute",
        axis="training compute, FLOPs",
        of=lambda spec: spec.training_flops or math.nan,
    ),
)


def scaling_figures(leaderboard: Leaderboard) -> list[Figure]:
    """Draw the loss on each perplexity task against size and training compute, with fitted laws.

    Only plain models count, without adapters and not quantised, of which the size is known and
    which come in three sizes at least: a variant of the same base has the same size, and would bend
    the law by what was done to it.
    """
    figures = []
    for column in leaderboard.columns:
        for size in _SIZES:
            points = _points(leaderboard, column, size)
            if len({point.x for point in points}) >= 3:
                figures.append(_figure(column, size, points))
    return figures


def _points(leaderboard: Leaderboard, column: Column, size: _Size) -> list[_Point]:
    nats = _loss_of(column.metric)
    if nats is None:
        return []
    found = []
    for standing in leaderboard.standings:
        spec = standing.model
        estimate = standing.metrics.get(column.key)
        if estimate is None or spec.adapters or spec.quantization:
            continue
        x, loss = size.of(spec), nats(estimate.value)
        if math.isfinite(x) and math.isfinite(loss) and loss > 0:
            found.append(_Point(spec=spec, x=x, loss=loss))
    return sorted(found, key=lambda point: point.x)


def _loss_of(metric: str) -> Callable[[float], float] | None:
    """Return what makes nats per unit (or bits per byte) of a metric; None for other metrics."""
    if metric.endswith("perplexity"):
        return lambda value: math.log(value) if value > 0 else math.nan
    return (lambda value: value) if metric in ("bits_per_byte", "loss") else None


def _figure(column: Column, size: _Size, points: Sequence[_Point]) -> Figure:
    laws = _laws(points)
    law = laws[-1]
    unit = "bits per byte" if column.metric == "bits_per_byte" else "nats per unit"
    exponent = law.exponent
    said = (
        f"loss falls as {size.title} to the power of "
        f"−{exponent.value:.3f} [{exponent.low:.3f}, {exponent.high:.3f}]"
    )
    if law.kind == "power with floor":
        said += f" above a floor of {law.floor.value:.3f}"
    return Figure(
        name=f"scaling-{size.name}-{_slug(column.task)}",
        section="scaling",
        title=f"Loss on {column.task} against {size.title}",
        caption=f"{column.metric} as {unit}, both axes logarithmic; plain models only. Line and "
        f"band: the power law fitted to the {law.n} models and its "
        f"{law.confidence_level:.0%} interval; {said}. Typical distance from the law: "
        f"{100 * law.residual_error:.1f} %.",
        description=f"{said}. "
        + "; ".join(f"{p.spec.name}: {p.x:.3g} {size.title}, loss {p.loss:.3f}" for p in points),
        drawing=_drawing(points, law, x_title=size.axis, y_title=f"loss, {unit}"),
        rows=tuple(
            {
                "model": point.spec.name,
                "fingerprint": point.spec.fingerprint,
                size.title: point.x,
                "loss": point.loss,
                "law": float(law(point.x)),
                "law_low": float(law.interval(point.x)[0][0]),
                "law_high": float(law.interval(point.x)[1][0]),
                "scale": law.scale,
                **estimate_cells("exponent", law.exponent),
                "floor": law.floor.value,
            }
            for point in points
        ),
    )


def _laws(points: Sequence[_Point]) -> list[ScalingLaw]:
    """Fit the plain law, and the one with a floor where there are enough models for it.

    The floor is kept where it is told from 0 by its own interval.
    """
    sizes, losses = [point.x for point in points], [point.loss for point in points]
    laws = [scaling_law(sizes, losses)]
    if len(points) >= _FLOOR_FROM:
        try:
            with_floor = scaling_law(sizes, losses, floor=True)
        except InputError:  # several models of one size
            return laws
        if with_floor.floor.low > 0:
            laws.append(with_floor)
    return laws


def _drawing(points: Sequence[_Point], law: ScalingLaw, *, x_title: str, y_title: str) -> Drawing:
    x_axis = log_axis([point.x for point in points])
    steps = np.geomspace(x_axis.low, x_axis.high, _STEPS)
    low, high = law.interval(steps)
    least, most = (f([p.loss for p in points]) for f in (min, max))
    low, high = np.maximum(low, least / 2), np.minimum(high, 2 * most)  # few models: a wide band
    plot = Plot(
        x=x_axis,
        y=log_axis([least, most, *low.tolist(), *high.tolist()]),
        left=64,
        top=14,
        right=_WIDTH - 16,
        bottom=_HEIGHT - 46,
    )

    def place(x: float, y: float) -> tuple[float, float]:
        return plot.across(x), plot.down(y)

    upper = [place(x, y) for x, y in zip(steps.tolist(), high.tolist(), strict=True)]
    lower = [place(x, y) for x, y in zip(steps.tolist(), low.tolist(), strict=True)]
    line = [place(x, y) for x, y in zip(steps.tolist(), law(steps).tolist(), strict=True)]
    dots = [place(point.x, point.loss) for point in points]
    marks: list[Mark] = [
        Outline(points=(*upper, *reversed(lower)), tone="strong", strength=0.13),
        *plot.marks(x_title=x_title, y_title=y_title),
        Line(points=tuple(line), tone="strong", width=2),
        *(
            Dot(x=x, y=y, tone="b", symbol="diamond", what=f"{point.spec.name}: {point.loss:.3f}")
            for point, (x, y) in zip(points, dots, strict=True)
        ),
    ]
    names = [point.spec.name for point in points]
    area = (plot.left, 0.0, _WIDTH, plot.bottom)
    return Drawing(
        width=_WIDTH, height=_HEIGHT, marks=(*marks, *labels_beside(dots, names, area=area))
    )


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())
