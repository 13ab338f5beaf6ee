"""Drawings as SVG: inside a page, whose colours they take, or as a file of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import singledispatch

from markupsafe import Markup, escape

from evalcore.visible import one_line
from reports.figures.drawing import Box, Dot, Figure, Line, Mark, Outline, Words
from reports.figures.palette import COLOURS

__all__ = ["inline_svg", "svg_file"]

_NAMESPACE = "http://www.w3.org/2000/svg"
_NONE: Mapping[str, str] = {}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def inline_svg(figure: Figure) -> Markup:
    """Return a figure for a page that has the classes of ``report.css``."""
    return Markup("\n").join(_svg(figure))


def svg_file(figure: Figure) -> str:
    """Return a file that shows the figure in light or dark, as its reader's screen is set."""
    lines = list(_svg(figure, attributes={"xmlns": _NAMESPACE, "font-family": _FONT}))
    return "\n".join([*lines[:3], f"<style>{_style()}</style>", _ground(figure), *lines[3:], ""])


def _svg(figure: Figure, *, attributes: Mapping[str, str] = _NONE) -> Iterator[Markup]:
    drawing, name = figure.drawing, escape(figure.name)
    size = f"0 0 {_short(drawing.width)} {_short(drawing.height)}"
    more = Markup("").join(Markup(' {}="{}"').format(*item) for item in attributes.items())
    yield Markup(
        '<svg class="drawing" viewBox="{}" style="max-width:{}px" role="img"'
        ' aria-labelledby="{}-t {}-d"{}>'
    ).format(size, _short(drawing.width), name, name, more)
    yield Markup('<title id="{}-t">{}</title>').format(name, one_line(figure.title))
    yield Markup('<desc id="{}-d">{}</desc>').format(name, one_line(figure.description))
    for mark in drawing.marks:
        yield _mark(mark)
    yield Markup("</svg>")


def _ground(figure: Figure) -> str:
    width, height = figure.drawing.width, figure.drawing.height
    return f'<rect class="f-paper" width="{_short(width)}" height="{_short(height)}"/>'


def _style() -> str:
    schemes = [
        "".join(f"--{tone}:{colour};" for tone, colour in colours.items())
        for colours in COLOURS.values()
    ]
    tones = "".join(
        f".f-{tone}{{fill:var(--{tone})}}.s-{tone}{{stroke:var(--{tone});fill:none}}"
        for tone in COLOURS["light"]
    )
    hollow = ".hollow{fill:var(--paper)}"
    return (
        f":root{{{schemes[0]}}}@media(prefers-color-scheme:dark){{:root{{{schemes[1]}}}}}"
        f"{tones}{hollow}"
    )


@singledispatch
def _mark(mark: Mark) -> Markup:
    raise TypeError(type(mark).__name__)


@_mark.register
def _(mark: Line) -> Markup:
    dashes = Markup(' stroke-dasharray="{}"').format(mark.dashes) if mark.dashes else ""
    width = Markup(' stroke-width="{}"').format(_short(mark.width)) if mark.width != 1.0 else ""
    return Markup('<polyline class="s-{}"{}{} points="{}"{}').format(
        mark.tone, width, dashes, _points(mark.points), _end("polyline", mark.what)
    )


@_mark.register
def _(mark: Outline) -> Markup:
    return Markup('<polygon class="f-{}" fill-opacity="{}" points="{}"{}').format(
        mark.tone, _short(mark.strength), _points(mark.points), _end("polygon", mark.what)
    )


@_mark.register
def _(mark: Box) -> Markup:
    return Markup('<rect class="f-{}"{} x="{}" y="{}" width="{}" height="{}"{}').format(
        mark.tone,
        "" if mark.strength == 1.0 else Markup(' fill-opacity="{}"').format(f"{mark.strength:.2f}"),
        *map(_short, (mark.x, mark.y, mark.width, mark.height)),
        _end("rect", mark.what),
    )


@_mark.register
def _(mark: Dot) -> Markup:
    x, y, size = mark.x, mark.y, mark.size
    classes = f"s-{mark.tone} hollow" if mark.hollow else f"f-{mark.tone}"
    rim = Markup(' stroke-width="2"') if mark.hollow else ""
    if mark.symbol == "circle":
        return Markup('<circle class="{}"{} cx="{}" cy="{}" r="{}"{}').format(
            classes, rim, _short(x), _short(y), _short(size), _end("circle", mark.what)
        )
    return Markup('<polygon class="{}"{} points="{}"{}').format(
        classes, rim, _points(corners(mark)), _end("polygon", mark.what)
    )


@_mark.register
def _(mark: Words) -> Markup:
    place = [Markup(' x="{}" y="{}"').format(_short(mark.x), _short(mark.y))]
    if mark.anchor != "start":
        place.append(Markup(' text-anchor="{}"').format(mark.anchor))
    if mark.bold:
        place.append(Markup(' font-weight="650"'))
    if mark.upright:
        turn = f"rotate(-90 {_short(mark.x)} {_short(mark.y)})"
        place.append(Markup(' transform="{}"').format(turn))
    title = Markup("<title>{}</title>").format(one_line(mark.what)) if mark.what else ""
    return Markup('<text class="f-{}" font-size="{}"{}>{}{}</text>').format(
        mark.tone, _short(mark.size), Markup("").join(place), title, one_line(mark.text)
    )


def corners(dot: Dot) -> tuple[tuple[float, float], ...]:
    """Corners of a sign that isn't round."""
    x, y, size = dot.x, dot.y, dot.size
    turns: tuple[tuple[float, float], ...]
    match dot.symbol:
        case "square":
            side = 0.88 * size
            turns = ((-side, -side), (side, -side), (side, side), (-side, side))
        case "diamond":
            turns = (
                (0.0, -1.25 * size),
                (1.25 * size, 0.0),
                (0.0, 1.25 * size),
                (-1.25 * size, 0.0),
            )
        case _:
            turns = ((0.0, -1.2 * size), (1.1 * size, 0.8 * size), (-1.1 * size, 0.8 * size))
    return tuple((x + dx, y + dy) for dx, dy in turns)


def _end(tag: str, what: str) -> Markup:
    if not what:
        return Markup("/>")
    return Markup("><title>{}</title></{}>").format(one_line(what), tag)


def _points(points: tuple[tuple[float, float], ...]) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
