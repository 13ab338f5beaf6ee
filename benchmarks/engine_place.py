"""Where contests take place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine_harness import Harness
from engine_measure import Setup

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """What a contest needs beside our runner."""

    folder: Path
    """Of the model that both sides load."""
    setup: Setup
    harness: Harness
    share: float = 1.0
    """Of the documents of each piece of scoring."""
