"""Colours by tone, for light and for dark. Text tones have a contrast of 4.5 to 1 and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from reports.figures.drawing import Tone

__all__ = ["COLOURS"]

COLOURS: Mapping[Literal["light", "dark"], Mapping[Tone, str]] = {
    "light": {
        "paper": "#ffffff",
        "ink": "#1b1f24",
        "soft": "#59636e",
        "line": "#dfe3e8",
        "strong": "#0b62a8",
        "muted": "#8b96a3",
        "good": "#1f6fb5",
        "bad": "#c2571a",
        "a": "#0b62a8",
        "b": "#b04a10",
        "c": "#2d7d46",
        "d": "#7b4bb0",
    },
    "dark": {
        "paper": "#14171b",
        "ink": "#e7eaee",
        "soft": "#a0aab5",
        "line": "#323941",
        "strong": "#6cb4f0",
        "muted": "#7d8894",
        "good": "#3f8fd6",
        "bad": "#e0803f",
        "a": "#6cb4f0",
        "b": "#eb9a5f",
        "c": "#6cc48a",
        "d": "#b99ae6",
    },
}
