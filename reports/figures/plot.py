"""What plots have in common: an area with two axes, labels beside dots, legends, heat maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from evalcore.visible import one_line
from reports.figures.axes import Axis
from reports.figures.drawing import LETTER, Anchor, Box, Dot, Line, Mark, Symbol, Tone, Words

__all__ = [
    "NAME_LENGTH",
    "Plot",
    "heat_map",
    "labels_beside",
    "legend",
    "line_boxes",
    "name_width",
    "short_name",
]

NAME_LENGTH = 30
"""Letters of a name that figures have room for; the whole name is in the title of its mark."""

_HEAT_CELL = 34.0
_HEAT_ROW = 24.0

_Area = tuple[float, float, float, float]


def short_name(name: str) -> str:
    """Cut a long name in its middle: variants of a base begin alike and end differently."""
    return one_line(name, longest=NAME_LENGTH)


def name_width(names: Sequence[str]) -> float:
    """Room that the longest of some names needs."""
    return LETTER * max((len(short_name(name)) for name in names), default=0) + 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """An area of a drawing with an axis at its bottom and one at its left."""

    x: Axis
    y: Axis
    left: float
    top: float
    right: float
    bottom: float

    def across(self, value: float) -> float:
        """Place of a value on the x axis."""
        return self.left + (self.right - self.left) * self.x.share(value)

    def down(self, value: float) -> float:
        """Place of a value on the y axis."""
        return self.bottom - (self.bottom - self.top) * self.y.share(value)

    def marks(self, *, x_title: str, y_title: str) -> list[Mark]:
        """Draw grid, ticks and titles."""
        middle = (self.left + self.right) / 2
        marks: list[Mark] = []
        for tick in self.y.ticks:
            y = self.down(tick)
            marks.append(Line(points=((self.left, y), (self.right, y))))
            marks.append(Words(x=self.left - 8, y=y + 4, text=self.y.label(tick), anchor="end"))
        for tick in self.x.ticks:
            x = self.across(tick)
            marks.append(Line(points=((x, self.bottom), (x, self.bottom + 5))))
            marks.append(Words(x=x, y=self.bottom + 19, text=self.x.label(tick), anchor="middle"))
        marks.append(Words(x=middle, y=self.bottom + 38, text=x_title, anchor="middle"))
        if y_title:
            y = (self.top + self.bottom) / 2
            marks.append(Words(x=14, y=y, text=y_title, anchor="middle", upright=True))
        return marks


_FARTHEST = 80
"""Pixels above or below its dot that a name may stand, where an interval runs through."""
_STEP = 8.0


def labels_beside(
    dots: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    area: _Area,
    taken: Sequence[_Area] = (),
) -> list[Words]:
    """Put each name beside its dot, or beyond its whisker, where it covers nothing.

    Names come first to be placed as they come in order. One that finds no place nearer to its own
    dot than to any other is left out; the figure's numbers have it.
    """
    covered = [*taken, *((x - 6, y - 6, x + 6, y + 6) for x, y in dots)]
    labels = []
    for (x, y), name in zip(dots, names, strict=True):
        text = short_name(name)
        length = LETTER * len(text)
        places: list[tuple[float, float, Anchor]] = [
            (x + 9, y + 4, "start"),
            (x - 9, y + 4, "end"),
            (x, y - 10, "middle"),
            (x, y + 20, "middle"),
            (x + 9, y - 10, "start"),
            (x - 9, y - 10, "end"),
            (x + 9, y + 20, "start"),
            (x - 9, y + 20, "end"),
        ]
        for more in range(8, _FARTHEST, 8):
            places += [(x, y - 10 - more, "middle"), (x, y + 20 + more, "middle")]
        for at_x, at_y, anchor in places:
            start = at_x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * length
            box = (start, at_y - 12, start + length, at_y + 4)
            if _is_free(box, area, covered) and _nearest(box, dots) == (x, y):
                covered.append(box)
                labels.append(Words(x=at_x, y=at_y, text=text, anchor=anchor, tone="ink"))
                break
    return labels


def line_boxes(points: Sequence[tuple[float, float]]) -> list[_Area]:
    """Return small boxes along a line through points, for names to keep off it."""
    boxes = []
    for (x0, y0), (x1, y1) in pairwise(points):
        n_steps = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / _STEP))
        for step in range(n_steps + 1):
            x, y = (a + (b - a) * step / n_steps for a, b in ((x0, x1), (y0, y1)))
            boxes.append((x - 1, y - 1, x + 1, y + 1))
    return boxes


def _nearest(box: _Area, dots: Sequence[tuple[float, float]]) -> tuple[float, float]:
    left, top, right, bottom = box

    def distance(dot: tuple[float, float]) -> float:
        x, y = dot
        return math.hypot(max(left - x, 0.0, x - right), max(top - y, 0.0, y - bottom))

    return min(dots, key=distance)


def _is_free(box: _Area, area: _Area, taken: Sequence[_Area]) -> bool:
    left, top, right, bottom = box
    within = left >= area[0] and top >= area[1] and right <= area[2] and bottom <= area[3]
    return within and not any(
        left < other[2] and right > other[0] and top < other[3] and bottom > other[1]
        for other in taken
    )


def legend(
    entries: Sequence[tuple[str, Tone, Symbol]], *, x: float, y: float, longest: float
) -> list[Mark]:
    """Draw signs with names in a row; a new row where the next would go beyond ``longest``."""
    marks: list[Mark] = []
    at = x
    for name, tone, symbol in entries:
        width = LETTER * len(short_name(name)) + 30
        if at + width > longest and at > x:
            at, y = x, y + 18
        marks.append(Dot(x=at + 5, y=y - 4, tone=tone, symbol=symbol))
        marks.append(Words(x=at + 15, y=y, text=short_name(name), tone="ink"))
        at += width
    return marks


def heat_map(
    row_names: Sequence[str],
    column_names: Sequence[str],
    cells: Sequence[Sequence[tuple[str, Tone, float, str] | None]],
    *,
    row_title: str,
    column_title: str,
) -> tuple[float, float, list[Mark]]:
    """Draw squares: text, tone, opacity and what is said of it by cell; None where there is none.

    Returns
    -------
    tuple
        Width, height and marks.
    """
    left, top = name_width(row_names) + 4, 46.0
    width = left + _HEAT_CELL * len(column_names) + 10
    marks: list[Mark] = [
        Words(x=0, y=top - 8, text=row_title),
        Words(x=0, y=14, text=column_title),
    ]
    for place, name in enumerate(column_names):
        x = left + (place + 0.5) * _HEAT_CELL
        marks.append(Words(x=x, y=top - 8, text=name, anchor="middle"))
    for row, (name, line) in enumerate(zip(row_names, cells, strict=True)):
        y = top + row * _HEAT_ROW
        marks.append(
            Words(x=left - 8, y=y + 16, text=short_name(name), anchor="end", tone="ink", what=name)
        )
        for column, cell in enumerate(line):
            if cell is not None:
                text, tone, strength, what = cell
                x = left + column * _HEAT_CELL
                marks.append(
                    Box(
                        x=x + 1,
                        y=y + 1,
                        width=_HEAT_CELL - 2,
                        height=_HEAT_ROW - 2,
                        tone=tone,
                        strength=strength,
                        what=what,
                    )
                )
                if text:
                    middle = x + _HEAT_CELL / 2
                    marks.append(
                        Words(x=middle, y=y + 16, text=text, anchor="middle", size=11, tone="ink")
                    )
    return max(width, LETTER * len(column_title)), top + _HEAT_ROW * len(row_names) + 6, marks
