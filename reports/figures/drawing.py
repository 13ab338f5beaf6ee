"""A drawing: marks at places, in one of a few tones. SVG and PNG are written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from evalcore.hashing import content_hash
from evalcore.spreadsheet import Cell, csv_text

__all__ = [
    "LETTER",
    "SERIES",
    "Anchor",
    "Box",
    "Dot",
    "Drawing",
    "Figure",
    "Line",
    "Mark",
    "Outline",
    "Section",
    "Symbol",
    "Tone",
    "Words",
]

Tone = Literal["ink", "soft", "line", "strong", "muted", "good", "bad", "paper", "a", "b", "c", "d"]
"""What a colour means; the colour itself depends on light or dark. a to d are series."""
Symbol = Literal["circle", "square", "diamond", "triangle"]
Section = Literal[
    "ratings", "wins", "categories", "cost", "quantised", "scaling", "judges", "votes"
]
Anchor = Literal["start", "middle", "end"]

SERIES: tuple[tuple[Tone, Symbol, str], ...] = (
    ("a", "circle", ""),
    ("b", "square", "6 3"),
    ("c", "diamond", "2 3"),
    ("d", "triangle", "8 3 2 3"),
)
"""Tone, sign and dashes of up to four series, which differ without their colour, too."""

LETTER = 6.8
"""Width of a letter at 12 units, rather too wide than too narrow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A polyline."""

    points: tuple[tuple[float, float], ...]
    tone: Tone = "line"
    width: float = 1.0
    dashes: str = ""
    what: str = ""
    """For those who point at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A filled polygon."""

    points: tuple[tuple[float, float], ...]
    tone: Tone
    strength: float = 0.15
    """Opacity."""
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    tone: Tone
    strength: float = 1.0
    """Opacity."""
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A sign at a place."""

    x: float
    y: float
    tone: Tone = "strong"
    symbol: Symbol = "circle"
    hollow: bool = False
    size: float = 5.0
    """Half of its width."""
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A line of text, standing on y."""

    x: float
    y: float
    text: str
    tone: Tone = "soft"
    anchor: Anchor = "start"
    size: float = 12.0
    bold: bool = False
    upright: bool = False
    """Read from bottom to top."""
    what: str = ""


Mark = Line | Outline | Box | Dot | Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Marks on a surface, the later ones over the earlier ones."""

    width: float
    height: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing, what it says, and the numbers that it was drawn from."""

    name: str
    """Of its files."""
    section: Section
    """Part of the report that it belongs to."""
    title: str
    caption: str
    """How to read it."""
    description: str
    """What it shows, in words, for those who can't see it."""
    drawing: Drawing
    rows: tuple[Mapping[str, Cell], ...]
    """Its numbers, unrounded."""

    @property
    def csv(self) -> str:
        """The numbers as CSV."""
        return csv_text(self.rows)

    @property
    def data_hash(self) -> str:
        """Of the CSV."""
        return content_hash(self.csv)
