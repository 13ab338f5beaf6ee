"""From columns of text to times, flags and numbers; each says which rows it could not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalcore.spreadsheet import original

__all__ = [
    "MISSING",
    "PERMITTED_TIMES",
    "Parsed",
    "parse_flags",
    "parse_numbers",
    "parse_times",
    "unquoted",
]

MISSING = frozenset({"", "nan", "NaN", "None", "null"})
"""Texts that mean that a value was not given."""
PERMITTED_TIMES = "seconds since 1970 or an ISO 8601 time"
_INFINITY_BITS = np.float64(np.inf).view(np.uint64)
"""Of all floats those of at least 0, and no others but -0, have fewer."""
_FLAGS = {"true": 1, "1": 1, "false": 0, "0": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A column's values and the rows that have none."""

    values: NDArray[Any]
    """``(n,)``."""
    bad: NDArray[np.bool_]
    """``(n,)`` True where the text means nothing permitted."""
    texts: Any
    """What was there, for the message."""
    permitted: str
    """What the text may be."""


def unquoted(values: Any) -> Any:
    """Take off what keeps spreadsheets from running a cell; most columns have no such cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.any(pc.starts_with(values, pattern="'")).as_py():
        return values
    return pa.array([None if x is None else original(x) for x in values.to_pylist()], pa.string())


def parse_times(texts: pd.Series[Any]) -> Parsed:
    """Read seconds since 1970, or dates and times in ISO 8601 (UTC unless they name a zone)."""
    seconds = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    given = _given(texts)
    as_text = np.isnan(seconds) & given
    if as_text.any():
        dates = pd.to_datetime(texts[as_text], errors="coerce", utc=True, format="ISO8601")
        epoch = pd.Timestamp(0, tz="UTC")
        seconds = seconds.copy()
        seconds[as_text] = ((dates - epoch) / pd.Timedelta(seconds=1)).to_numpy()
    return Parsed(
        values=seconds,
        bad=~np.isfinite(seconds) & given,
        texts=texts,
        permitted=PERMITTED_TIMES,
    )


def parse_flags(texts: pd.Series[Any]) -> Parsed:
    """Read true or false as 1 or 0; -1 where not given."""
    lower = texts.str.lower()
    flags = lower.map(_FLAGS).fillna(-1).to_numpy(np.int8)
    return Parsed(
        values=flags, bad=(flags < 0) & _given(texts), texts=texts, permitted="true or false"
    )


def parse_numbers(texts: pd.Series[Any]) -> Parsed:
    """Read numbers, each of them at least 0; a missing one is bad."""
    if texts.dtype == np.float64:
        numbers = texts.to_numpy()
    else:
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = np.zeros(len(numbers), bool)
    if numbers.view(np.uint64).max(initial=0) >= _INFINITY_BITS:  # most often none is
        bad = ~np.isfinite(numbers) | (numbers < 0)
    return Parsed(values=numbers, bad=bad, texts=texts, permitted="a number of at least 0")


def _given(texts: pd.Series[Any]) -> NDArray[np.bool_]:
    return (texts.notna() & ~texts.isin(list(MISSING))).to_numpy(bool)
