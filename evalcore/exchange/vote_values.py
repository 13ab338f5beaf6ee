"""Columns of votes as the workspace has them; what is wrong in one is noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalcore.exchange.identity import LONGEST_ID, short_id
from evalcore.records import RaterKind
from evalcore.store.bulk import python_values
from evalcore.votes.parse import MISSING, parse_flags, parse_numbers
from evalcore.votes.problems import Positions, Problems

__all__ = [
    "ARENA_USER",
    "Columns",
    "are_our_times",
    "costs",
    "each",
    "flags",
    "given",
    "kinds",
    "labels",
    "mask",
    "optional",
    "raters",
    "renamed",
    "short",
    "time_texts",
]

ARENA_USER = "arena_user_"
"""How LMArena names people who voted."""
_ANONYMOUS = "anonymous"
_OUR_TIME = r"^(1[6-9]|2\d|3[01])\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_KINDS: Mapping[str, str] = {kind: kind for kind in get_args(RaterKind)}

Columns = Mapping[str, pa.Array]


def given(values: pa.Array) -> pa.Array:
    """Return texts, with none for those that mean that nothing was given."""
    missing = pc.is_in(values, value_set=pa.array(sorted(MISSING), values.type))
    if not pc.any(missing).as_py():
        return values
    return pc.if_else(missing, pa.scalar(None, values.type), values)


def renamed(values: pa.DictionaryArray, change: Callable[[str], str]) -> pa.DictionaryArray:
    """Return names changed, each once."""
    names = pa.array(map(change, values.dictionary.to_pylist()), pa.string())
    return pa.DictionaryArray.from_arrays(values.indices, names)


def each(values: Any) -> Sequence[str] | repeat[str]:
    """Return the texts of a column, or for ever the one that all rows have."""
    return python_values(values) if isinstance(values, pa.Array) else repeat(values)


def short(ids: pa.Array) -> pa.Array:
    """Return ids, and a hash of each for which an example's id has no room."""
    if (pc.max(pc.utf8_length(ids)).as_py() or 0) <= LONGEST_ID:
        return ids
    texts = [None if text is None else short_id(text) for text in ids.to_pylist()]
    return pa.array(texts, pa.string())


def labels(
    name: str,
    values: pa.Array,
    permitted: Mapping[str, str],
    positions: Positions,
    problems: Problems,
) -> pa.DictionaryArray:
    """Return what labels stand for; one that is not permitted is a problem."""
    unknown = mask(pc.invert(pc.is_in(values, value_set=pa.array(list(permitted), values.type))))
    known = ", ".join(dict.fromkeys(permitted.values()))
    problems.add_where(f"{name} must be one of {known}", unknown, positions, values)
    return renamed(values.dictionary_encode(), lambda label: permitted.get(label, ""))


def are_our_times(values: pa.Array) -> bool:
    """Return whether all are times, written as the workspace has them."""
    if values.null_count or not pc.all(pc.match_substring_regex(values, _OUR_TIME)).as_py():
        return False
    try:
        pc.cast(pc.utf8_slice_codeunits(values, 0, 19), pa.timestamp("s"))
    except pa.ArrowInvalid:  # such as a 31st of June: the slow way says where
        return False
    return True


def time_texts(seconds: NDArray[np.float64], known: NDArray[np.bool_]) -> pa.Array:
    """Write seconds since 1970 as ISO 8601, in a tenth of the time that NumPy takes for it."""
    whole = pa.array(np.floor(np.where(known, seconds, 0.0)).astype(np.int64))
    texts = whole.cast(pa.timestamp("s")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(texts, 10, 11, "T"), "Z", "")


def flags(columns: Columns, positions: Positions, problems: Problems) -> Any:
    """Return whether model B was shown first; that it was not where a file does not say."""
    if "swapped" not in columns:
        return False
    if pa.types.is_boolean(columns["swapped"].type):
        return columns["swapped"].fill_null(False)
    parsed = parse_flags(columns["swapped"].to_pandas())
    problems.add_where(f"swapped must be {parsed.permitted}", parsed.bad, positions, parsed.texts)
    return pa.array(parsed.values > 0)


def costs(columns: Columns, positions: Positions, problems: Problems) -> Any:
    """Return what judges' calls cost in US dollars; none where a file does not say."""
    if "cost_usd" not in columns:
        return None
    is_given = np.asarray(pc.is_valid(given(columns["cost_usd"])))
    parsed = parse_numbers(columns["cost_usd"].to_pandas())
    bad = parsed.bad & is_given
    problems.add_where(f"cost_usd must be {parsed.permitted}", bad, positions, parsed.texts)
    return pa.array(parsed.values, mask=~is_given)


def raters(columns: Columns) -> Any:
    """Return who voted."""
    if "rater" not in columns:
        return _ANONYMOUS
    named = given(columns["rater"]).fill_null(_ANONYMOUS).dictionary_encode()
    return renamed(named, lambda text: text.removeprefix(ARENA_USER))


def kinds(columns: Columns, positions: Positions, problems: Problems) -> Any:
    """Return what voted: people, unless a file says otherwise."""
    if "rater_kind" not in columns:
        return "human"
    return labels("rater_kind", columns["rater_kind"], _KINDS, positions, problems)


def optional(columns: Columns, name: str, absent: str | None) -> Any:
    """Return a column's texts with something in place of none; that alone without a column."""
    if name not in columns:
        return absent
    texts = given(columns[name])
    return texts if absent is None else texts.fill_null(absent)


def mask(values: pa.Array) -> NDArray[np.bool_]:
    """Return flags as NumPy has them; none is False."""
    return np.asarray(values.fill_null(False))
