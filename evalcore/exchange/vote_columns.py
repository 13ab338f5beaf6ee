"""Votes by the column: checked like a vote file, and made into rows of the workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalcore.exchange.identity import LONGEST_ID, imported_model, short_id, vote_id
from evalcore.exchange.records import VOTE_COLUMNS, ImportContext, Parcel
from evalcore.exchange.repeats import Repeats
from evalcore.records import RaterKind
from evalcore.store.bulk import python_values
from evalcore.votes.columns import WINNERS
from evalcore.votes.parse import (
    MISSING,
    PERMITTED_TIMES,
    parse_flags,
    parse_numbers,
    parse_times,
)
from evalcore.votes.problems import Positions, Problems

__all__ = ["ALIASES", "ARENA_USER", "WANTED", "WINNER_LABELS", "VoteColumns"]

ARENA_USER = "arena_user_"
"""How LMArena names people who voted."""
WANTED = (
    *("model_a", "model_b", "winner", "id", "example_id", "rater", "rater_kind", "swapped"),
    *("created_utc", "explanation", "judge_prompt_version", "cost_usd"),
)
ALIASES: Mapping[str, Sequence[str]] = {
    "example_id": ("question_id",),
    "rater": ("judge",),
    "created_utc": ("tstamp", "timestamp"),
}
WINNER_LABELS: Mapping[str, str] = {
    **{name: name for name in WINNERS},
    "tie (bothbad)": "both_bad",
    "bothbad": "both_bad",
}
_ANONYMOUS = "anonymous"
_OUR_TIME = r"^(1[6-9]|2\d|3[01])\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_GLOBAL_ID = r"^(?:[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
"""Ids that name one vote of all there are, such as a UUID, and not one of a file."""
_SHORT_ID = r"^(?s:.{1,64})$"
"""Ids of our own files, which there is room for."""
_KINDS: Mapping[str, str] = {kind: kind for kind in get_args(RaterKind)}
_EARLIEST_S, _LATEST_S = -6.2e10, 2.5e11
"""Years 5 and 9892: between them a year has four digits."""

Columns = Mapping[str, pa.Array]


class VoteColumns:
    """Turns batches of columns of one file into parcels.

    Parameters
    ----------
    path
        The file, for messages.
    context
        Time, and the models that names may stand for.
    unit
        What a position counts: ``line`` or ``row``.
    battle_ids
        Whether ``question_id`` names the battle, as LMArena's does, and not the prompt.
    """

    def __init__(
        self, path: Path, context: ImportContext, *, unit: str, battle_ids: bool = False
    ) -> None:
        self._path = path
        self._context = context
        self._unit = unit
        self._battle_ids = battle_ids
        self._repeats = Repeats()
        self._counts: Counter[str] = Counter()
        self._models: dict[str, str] = {}

    def parcel(self, columns: Columns, positions: Positions, *, n_read: int) -> Parcel:
        """Check a batch and return its votes.

        Parameters
        ----------
        columns
            Arrow arrays of text, of equal length n, by names of :data:`WANTED`; ``created_utc`` may
            be one of numbers, and ``swapped`` one of flags.
        positions
            ``(n,)`` line or row of each vote.
        n_read
            How far it brings the progress.

        Raises
        ------
        VotesError
            For anything wrong in the batch, a line for each kind of problem.
        """
        problems = Problems(str(self._path), self._unit)
        before = len(self._models)
        sides = [self._side(name, columns[name], positions, problems) for name in _SIDES]
        same = pc.equal(columns["model_a"], columns["model_b"])
        problems.add_where(
            "model_a and model_b must differ", _mask(same), positions, columns["model_a"]
        )
        winners = _labels("winner", columns["winner"], WINNER_LABELS, positions, problems)
        times = self._times(columns, positions, problems)
        votes: dict[str, Any] = {
            "winner": winners,
            "rater": _raters(columns),
            "rater_kind": _kinds(columns, positions, problems),
            "swapped": _flags(columns, positions, problems),
            "created_utc": times,
            "explanation": _optional(columns, "explanation", ""),
            "judge_prompt_version": _optional(columns, "judge_prompt_version", None),
            "cost_usd": _costs(columns, positions, problems),
        }
        problems.raise_if_any()
        for name, side in zip(_SIDES, sides, strict=True):
            votes[name] = _renamed(side, self._models.__getitem__)
        votes["id"], votes["example_id"] = self._ids(
            columns, positions, [*sides, winners, votes["rater"]], times, problems
        )
        problems.raise_if_any()
        new = list(self._models)[before:]
        return Parcel(
            source=self._path,
            n_read=n_read,
            models=[imported_model(x) for x in new if x not in self._context.own_models],
            votes={name: votes[name] for name in VOTE_COLUMNS},
        )

    def _side(
        self, name: str, values: pa.Array, positions: Positions, problems: Problems
    ) -> pa.DictionaryArray:
        """Note the models of a side."""
        encoded = _given(values).dictionary_encode()
        missing = np.asarray(pc.is_null(encoded))
        problems.add_where(f"{name} must be a model's name", missing, positions, values)
        for model in sorted(encoded.dictionary.to_pylist()):
            own = self._context.own_models.get(model)
            self._models.setdefault(model, own or imported_model(model).fingerprint)
        return encoded

    def _times(self, columns: Columns, positions: Positions, problems: Problems) -> Any:
        """Return times as the workspace has them, or the one of the import."""
        given = columns.get("created_utc")
        if given is None:
            return self._context.now
        if pa.types.is_floating(given.type) or pa.types.is_integer(given.type):
            seconds = given.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            bad, permitted = np.isinf(seconds), PERMITTED_TIMES
        elif _are_our_times(given):
            return given
        else:
            parsed = parse_times(given.to_pandas())
            seconds, bad, permitted = np.asarray(parsed.values), parsed.bad, parsed.permitted
        known = np.isfinite(seconds)
        strange = bad | (known & ((seconds < _EARLIEST_S) | (seconds > _LATEST_S)))
        problems.add_where(f"created_utc must be {permitted}", strange, positions, given)
        known &= ~strange
        return pc.if_else(pa.array(known), _time_texts(seconds, known), self._context.now)

    def _ids(
        self,
        columns: Columns,
        positions: Positions,
        said: Sequence[pa.Array],
        times: Any,
        problems: Problems,
    ) -> tuple[pa.Array, pa.Array]:
        """Return ids of votes and of examples; a vote on nothing that is known is its own."""
        own = "id" if "id" in columns else "example_id" if self._battle_ids else ""
        if own in columns:
            ids = self._kept_ids(columns[own], positions, said, times, problems)
        else:
            ids = self._made_ids(columns, said, times if "created_utc" in columns else "")
        if self._battle_ids or "example_id" not in columns:
            return ids, _short(ids)
        prompts = _short(_given(columns["example_id"]))
        return ids, pc.coalesce(prompts, ids) if prompts.null_count else prompts

    def _kept_ids(
        self,
        values: pa.Array,
        positions: Positions,
        said: Sequence[pa.Array],
        times: Any,
        problems: Problems,
    ) -> pa.Array:
        """Return a file's own ids; one that is missing, or of this file alone, gives way."""
        given = _given(values)
        keys = [
            f"\0{place}" if text is None else text for place, text in enumerate(given.to_pylist())
        ]
        repeated = self._repeats.add(keys) & np.asarray(pc.is_valid(given))
        problems.add_where("id must be unique", repeated, positions, values)
        pattern = _GLOBAL_ID if self._battle_ids else _SHORT_ID
        keep = pc.match_substring_regex(given, pattern).fill_null(False)
        if pc.all(keep).as_py():
            return given
        made = map(vote_id, python_values(given.fill_null("")), _each(times), *map(_each, said))
        return pc.if_else(keep, given, pa.array(list(made), pa.string()))

    def _made_ids(self, columns: Columns, said: Sequence[pa.Array], times: Any) -> pa.Array:
        """Return ids that are made of what votes say, and of how often it was said before."""
        prompts = _optional(columns, "example_id", "")
        n = len(columns["winner"])
        facts = zip(range(n), _each(prompts), _each(times), *map(_each, said), strict=False)
        ids = [vote_id(*fact) for _, *fact in facts]
        for place in np.flatnonzero(self._repeats.add(ids)).tolist():
            self._counts[ids[place]] += 1
            ids[place] = vote_id(ids[place], str(self._counts[ids[place]]))
        return pa.array(ids, pa.string())


_SIDES = ("model_a", "model_b")


def _given(values: pa.Array) -> pa.Array:
    """Return texts, with none for those that mean that nothing was given."""
    missing = pc.is_in(values, value_set=pa.array(sorted(MISSING), values.type))
    if not pc.any(missing).as_py():
        return values
    return pc.if_else(missing, pa.scalar(None, values.type), values)


def _renamed(values: pa.DictionaryArray, change: Callable[[str], str]) -> pa.DictionaryArray:
    names = pa.array(map(change, values.dictionary.to_pylist()), pa.string())
    return pa.DictionaryArray.from_arrays(values.indices, names)


def _each(values: Any) -> Sequence[str] | repeat[str]:
    """Return the texts of a column, or for ever the one that all rows have."""
    return python_values(values) if isinstance(values, pa.Array) else repeat(values)


def _short(ids: pa.Array) -> pa.Array:
    """Return ids, and a hash of each for which an example's id has no room."""
    if (pc.max(pc.utf8_length(ids)).as_py() or 0) <= LONGEST_ID:
        return ids
    texts = [None if text is None else short_id(text) for text in ids.to_pylist()]
    return pa.array(texts, pa.string())


def _labels(
    name: str,
    values: pa.Array,
    permitted: Mapping[str, str],
    positions: Positions,
    problems: Problems,
) -> pa.DictionaryArray:
    unknown = _mask(pc.invert(pc.is_in(values, value_set=pa.array(list(permitted), values.type))))
    known = ", ".join(dict.fromkeys(permitted.values()))
    problems.add_where(f"{name} must be one of {known}", unknown, positions, values)
    return _renamed(values.dictionary_encode(), lambda label: permitted.get(label, ""))


def _are_our_times(values: pa.Array) -> bool:
    """Return whether all are times, written as the workspace has them."""
    if values.null_count or not pc.all(pc.match_substring_regex(values, _OUR_TIME)).as_py():
        return False
    try:
        pc.cast(pc.utf8_slice_codeunits(values, 0, 19), pa.timestamp("s"))
    except pa.ArrowInvalid:  # such as a 31st of June: the slow way says where
        return False
    return True


def _time_texts(seconds: NDArray[np.float64], known: NDArray[np.bool_]) -> pa.Array:
    """Write seconds since 1970 as ISO 8601, in a tenth of the time that NumPy takes for it."""
    whole = pa.array(np.floor(np.where(known, seconds, 0.0)).astype(np.int64))
    texts = whole.cast(pa.timestamp("s")).cast(pa.string())
    return pc.binary_join_element_wise(pc.utf8_replace_slice(texts, 10, 11, "T"), "Z", "")


def _flags(columns: Columns, positions: Positions, problems: Problems) -> Any:
    if "swapped" not in columns:
        return False
    if pa.types.is_boolean(columns["swapped"].type):
        return columns["swapped"].fill_null(False)
    parsed = parse_flags(columns["swapped"].to_pandas())
    problems.add_where(f"swapped must be {parsed.permitted}", parsed.bad, positions, parsed.texts)
    return pa.array(parsed.values > 0)


def _costs(columns: Columns, positions: Positions, problems: Problems) -> Any:
    if "cost_usd" not in columns:
        return None
    given = np.asarray(pc.is_valid(_given(columns["cost_usd"])))
    parsed = parse_numbers(columns["cost_usd"].to_pandas())
    bad = parsed.bad & given
    problems.add_where(f"cost_usd must be {parsed.permitted}", bad, positions, parsed.texts)
    return pa.array(parsed.values, mask=~given)


def _raters(columns: Columns) -> Any:
    if "rater" not in columns:
        return _ANONYMOUS
    named = _given(columns["rater"]).fill_null(_ANONYMOUS).dictionary_encode()
    return _renamed(named, lambda text: text.removeprefix(ARENA_USER))


def _kinds(columns: Columns, positions: Positions, problems: Problems) -> Any:
    if "rater_kind" not in columns:
        return "human"
    return _labels("rater_kind", columns["rater_kind"], _KINDS, positions, problems)


def _optional(columns: Columns, name: str, absent: str | None) -> Any:
    """Return a column's texts with something in place of none; that alone without a column."""
    if name not in columns:
        return absent
    given = _given(columns[name])
    return given if absent is None else given.fill_null(absent)


def _mask(values: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(values.fill_null(False))
