"""Drawings as PNG, in light colours."""

from __future__ import annotations

import io
import warnings

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Circle, Patch, Polygon, Rectangle

from evalcore.visible import one_line
from reports.figures.drawing import Box, Dot, Drawing, Line, Mark, Outline, Words
from reports.figures.palette import COLOURS
from reports.figures.svg import corners

__all__ = ["png"]

_UNITS_PER_INCH = 100.0
_POINTS = 72.0 / _UNITS_PER_INCH
_TURN = {"start": "left", "middle": "center", "end": "right"}
_COLOURS = COLOURS["light"]


def png(drawing: Drawing, *, dpi: int = 200) -> bytes:
    """Paint a drawing; the same drawing gives the same bytes.

    A sign that the font lacks is painted as a box.
    """
    size = drawing.width / _UNITS_PER_INCH, drawing.height / _UNITS_PER_INCH
    canvas = Canvas(figsize=size, dpi=dpi, facecolor=_COLOURS["paper"])
    FigureCanvasAgg(canvas)
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, drawing.width)
    axes.set_ylim(drawing.height, 0.0)
    axes.set_axis_off()
    for order, mark in enumerate(drawing.marks):
        _paint(axes, mark, order)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        canvas.savefig(file, format="png", metadata={"Software": "Parity"})
    return file.getvalue()


def _paint(axes: Axes, mark: Mark, order: int) -> None:
    colour = _COLOURS[mark.tone]
    match mark:
        case Line():
            x, y = zip(*mark.points, strict=True)
            style = (0, tuple(float(d) for d in mark.dashes.split())) if mark.dashes else "-"
            axes.plot(
                x, y, color=colour, linewidth=mark.width * _POINTS, linestyle=style, zorder=order
            )
        case Outline():
            axes.add_patch(
                Polygon(
                    mark.points, facecolor=colour, alpha=mark.strength, linewidth=0, zorder=order
                )
            )
        case Box():
            axes.add_patch(
                Rectangle(
                    (mark.x, mark.y),
                    mark.width,
                    mark.height,
                    facecolor=colour,
                    alpha=mark.strength,
                    linewidth=0,
                    zorder=order,
                )
            )
        case Dot():
            _paint_dot(axes, mark, colour, order)
        case Words():
            axes.text(
                mark.x,
                mark.y,
                one_line(mark.text),
                color=colour,
                fontsize=mark.size * _POINTS * 0.92,
                fontweight="bold" if mark.bold else "normal",
                ha="left" if mark.upright and mark.anchor == "start" else _TURN[mark.anchor],
                va="baseline",
                rotation=90 if mark.upright else 0,
                rotation_mode="anchor",
                parse_math=False,
                zorder=order,
            )


def _paint_dot(axes: Axes, dot: Dot, colour: str, order: int) -> None:
    if dot.symbol == "circle":
        sign: Patch = Circle((dot.x, dot.y), dot.size)
    else:
        sign = Polygon(corners(dot))
    sign.set(
        facecolor=_COLOURS["paper"] if dot.hollow else colour,
        edgecolor=colour,
        linewidth=1.4 if dot.hollow else 0.0,
        zorder=order,
    )
    axes.add_patch(sign)
