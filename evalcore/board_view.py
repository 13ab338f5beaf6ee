"""A leaderboard as a page shows it: between who makes leaderboards and who serves pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

__all__ = ["Asked", "BoardView", "Choices", "Interval", "Show"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reader chose; empty means everything."""

    by: str = ""
    category: str = ""
    licence: str = ""
    quantization: str = ""
    size: str = ""
    open_stack: bool = False
    reference: str = ""
    search: str = ""
    """Part of a model's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a reader may choose from."""

    by: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    quantizations: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A model's rating."""

    model: str
    value: float
    low: float
    high: float
    text: str
    """Rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardView:
    """A leaderboard as the page shows it; texts are raw: who shows them escapes them."""

    summary: str
    headings: Sequence[tuple[str, str]] = ()
    """A line and smaller lines below it."""
    rows: Sequence[Sequence[str]] = ()
    sort_keys: Sequence[Sequence[float | str | None]] = ()
    """What each cell is sorted by."""
    intervals: Sequence[Interval] = ()
    rating_title: str = ""
    legend: str = ""
    notes: Sequence[str] = ()
    choices: Choices = field(default_factory=Choices)


Show = Callable[[Asked], BoardView]
"""Reads the leaderboard as it is now."""
