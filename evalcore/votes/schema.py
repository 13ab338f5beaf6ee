"""The columns of a vote file: their names, what LMArena calls them, and how they become text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalcore.errors import VotesError

__all__ = [
    "ALIASES",
    "NAME_COLUMNS",
    "REQUIRED",
    "as_text",
    "feature_columns",
    "present_columns",
    "wanted_columns",
]

REQUIRED = ("model_a", "model_b", "winner")
NAME_COLUMNS = (*REQUIRED, "id", "example_id", "rater", "rater_kind")
"""Columns that hold names: numbers in them are names too."""
ALIASES: Mapping[str, str] = {
    "example_id": "question_id",
    "rater": "judge",
    "created_utc": "tstamp",
}
"""LMArena's names for some of our columns."""

_TEXT_COLUMNS = (*NAME_COLUMNS, "swapped")
_OPTIONAL = ("id", "example_id", "rater", "rater_kind", "swapped", "created_utc")


def feature_columns(feature: str) -> tuple[str, str]:
    """Name the two columns that hold a style feature of A's and of B's answer."""
    return f"{feature}_a", f"{feature}_b"


def wanted_columns(features: Sequence[str]) -> tuple[str, ...]:
    """Name every column that is read if it is there, the features' columns included."""
    return (*REQUIRED, *_OPTIONAL, *(side for name in features for side in feature_columns(name)))


def present_columns(columns: Sequence[str], features: Sequence[str], where: str) -> dict[str, str]:
    """Map our names to the file's, for the columns that it has.

    Raises
    ------
    VotesError
        If a required column, or a column of a feature, is not there.
    """
    present = {}
    for name in wanted_columns(features):
        found = name if name in columns else ALIASES.get(name, "")
        if found in columns:
            present[name] = found
        elif name not in _OPTIONAL:
            has = ", ".join(columns) or "none"
            raise VotesError(f"column {name} is missing; the columns are {has} ({where})")
    return present


def as_text(name: str, values: Any) -> Any:
    """Make a column an Arrow array of text, or of numbers where they may be.

    Numbers that NumPy or pandas hold as such stay in a NumPy array of floats.

    Raises
    ------
    pyarrow.ArrowException
        For values that are neither.
    """
    dtype = getattr(values, "dtype", None)
    if name not in _TEXT_COLUMNS and isinstance(dtype, np.dtype) and dtype.kind in "fiu":
        return np.asarray(values, np.float64)
    array = pa.array(values, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type
    if name in NAME_COLUMNS and pa.types.is_dictionary(kind) and _is_text(kind.value_type):
        return array
    if _is_text(kind) or (name not in _TEXT_COLUMNS and _is_number(kind)):
        return array
    return pc.cast(array, pa.string())


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
