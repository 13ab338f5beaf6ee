"""Verdicts of other tools: read, checked against what their files say, and taken over."""

from __future__ import annotations

from evalcore.judges.foreign.reading import FORMATS, read_foreign
from evalcore.judges.foreign.records import ForeignFile, ForeignVerdict

__all__ = ["FORMATS", "ForeignFile", "ForeignVerdict", "read_foreign"]
