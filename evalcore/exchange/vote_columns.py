"""Votes by the column: checked like a vote file, and made into rows of the workspace."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc

from evalcore.exchange.identity import LONGEST_ID, imported_model, short_id, vote_id
from evalcore.exchange.records import VOTE_COLUMNS, ImportContext, Parcel
from evalcore.exchange.repeats import Repeats
from evalcore.records import RaterKind
from evalcore.votes.columns import WINNERS
from evalcore.votes.names import as_dictionary
from evalcore.votes.parse import MISSING, parse_flags, parse_numbers, parse_times
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
_GLOBAL_ID = re.compile(r"[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Ids that name one vote of all there are, such as a UUID, and not one of a file."""
_SHORT_ID = re.compile(r".{1,64}", re.DOTALL)
"""Ids of our own files, which there is room for."""
_KINDS: tuple[str, ...] = get_args(RaterKind)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column's texts, with what stands for none as None."""

    texts: list[str | None]

    @classmethod
    def of(cls, values: Any) -> _Column:
        texts = values.to_pylist()
        if values.null_count or pc.any(pc.is_in(values, _missing_texts(values))).as_py():
            texts = [None if text in MISSING else text for text in texts]
        return cls(texts)


def _missing_texts(values: Any) -> Any:
    """Return the texts that mean that nothing was given, as an array of the same type."""
    import pyarrow as pa

    return pa.array(sorted(MISSING), values.type)


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

    def parcel(self, columns: Mapping[str, Any], positions: Positions, *, n_read: int) -> Parcel:
        """Check a batch and return its votes.

        Parameters
        ----------
        columns
            Arrow arrays of text, of equal length n, by names of :data:`WANTED`.
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
        swapped = _flags(columns, positions, problems)
        costs = _costs(columns, positions, problems)
        raters = _raters(columns)
        kinds = _kinds(columns, positions, problems)
        problems.raise_if_any()
        ids, examples = self._ids(columns, positions, (sides, winners, raters, times), problems)
        problems.raise_if_any()
        names = list(self._models)[before:]
        n = len(ids)
        fingerprints = [[self._models[name] for name in side] for side in sides]
        return Parcel(
            source=self._path,
            n_read=n_read,
            models=[imported_model(x) for x in names if x not in self._context.own_models],
            votes=dict(
                zip(
                    VOTE_COLUMNS,
                    (
                        *(ids, examples, *fingerprints, winners, raters, kinds, swapped, times),
                        _optional(columns, "explanation", "", n),
                        _optional(columns, "judge_prompt_version", None, n),
                        costs,
                    ),
                    strict=True,
                )
            ),
        )

    def _side(self, name: str, values: Any, positions: Positions, problems: Problems) -> list[str]:
        names = as_dictionary(values).dictionary.to_pylist()
        if values.null_count or not MISSING.isdisjoint(names):
            missing = np.array([text is None or text in MISSING for text in values.to_pylist()])
            problems.add_where(f"{name} must be a model's name", missing, positions, values)
        for model in sorted(set(names) - MISSING - {None}):
            own = self._context.own_models.get(model)
            self._models.setdefault(model, own or imported_model(model).fingerprint)
        texts: list[str] = values.to_pylist()
        return texts

    def _times(
        self, columns: Mapping[str, Any], positions: Positions, problems: Problems
    ) -> list[str]:
        if "created_utc" not in columns:
            return [self._context.now] * len(columns["winner"])
        if _are_our_times(columns["created_utc"]):
            given: list[str] = columns["created_utc"].to_pylist()
            return given
        parsed = parse_times(columns["created_utc"].to_pandas())
        seconds = np.asarray(parsed.values)
        strange = parsed.bad | (np.abs(seconds) > _LATEST_S)
        problems.add_where(
            f"created_utc must be {parsed.permitted}", strange, positions, parsed.texts
        )
        known = np.isfinite(seconds) & ~strange
        whole = np.floor(np.where(known, seconds, 0.0)).astype("datetime64[s]")
        texts: list[str] = np.datetime_as_string(whole, unit="s", timezone="UTC").tolist()
        if not known.all():
            texts = [t if k else self._context.now for t, k in zip(texts, known, strict=True)]
        return texts

    def _ids(
        self,
        columns: Mapping[str, Any],
        positions: Positions,
        content: tuple[list[list[str]], list[str], list[str], list[str]],
        problems: Problems,
    ) -> tuple[list[str], list[str]]:
        """Return ids of votes and of examples; a vote on nothing that is known is its own."""
        sides, winners, raters, times = content
        own = "id" if "id" in columns else "example_id" if self._battle_ids else ""
        prompts = _optional(columns, "example_id", None, len(winners))
        said = zip(*sides, winners, raters, strict=True)
        if own in columns:
            given = _Column.of(columns[own]).texts
            repeated = self._repeats.add([text or f"\0{at}" for at, text in enumerate(given)])
            repeated &= np.array([text is not None for text in given], bool)
            problems.add_where("id must be unique", repeated, positions, columns[own])
            keep = _GLOBAL_ID.fullmatch if self._battle_ids else _SHORT_ID.fullmatch
            ids = [text for text in given if text is not None and keep(text)]
            if len(ids) < len(given):
                ids = [
                    text if text is not None and keep(text) else vote_id(text or "", time, *vote)
                    for text, time, vote in zip(given, times, said, strict=True)
                ]
        else:
            dated = times if "created_utc" in columns else repeat("")
            ids = [
                vote_id(prompt or "", time, *vote)
                for prompt, time, vote in zip(prompts, dated, said, strict=False)
            ]
            for place in np.flatnonzero(self._repeats.add(ids)).tolist():
                self._counts[ids[place]] += 1
                ids[place] = vote_id(ids[place], str(self._counts[ids[place]]))
        if self._battle_ids or "example_id" not in columns:
            fit = max(map(len, ids), default=0) <= LONGEST_ID
            return ids, ids if fit else [short_id(own_id) for own_id in ids]
        if None not in prompts and max(map(len, prompts), default=0) <= LONGEST_ID:
            return ids, prompts
        return ids, [
            own_id if prompt is None else short_id(prompt)
            for prompt, own_id in zip(prompts, ids, strict=True)
        ]


_SIDES = ("model_a", "model_b")
_LATEST_S = 2.5e11  # the year 9892


def _labels(
    name: str, values: Any, permitted: Mapping[str, str], positions: Positions, problems: Problems
) -> list[str]:
    encoded = as_dictionary(values)
    labels = [permitted.get(label, "") for label in encoded.dictionary.to_pylist()] + [""]
    codes = np.asarray(encoded.indices.fill_null(-1))
    texts = [labels[code] for code in codes.tolist()]
    if "" in labels[:-1] or values.null_count:
        unknown = np.array([not text for text in texts], bool)
        known = ", ".join(dict.fromkeys(permitted.values()))
        problems.add_where(f"{name} must be one of {known}", unknown, positions, values)
    return texts


def _are_our_times(values: Any) -> bool:
    """Return whether all are times, written as the workspace has them."""
    import pyarrow as pa

    if values.null_count or not pc.all(pc.match_substring_regex(values, _OUR_TIME)).as_py():
        return False
    try:
        pc.cast(pc.utf8_slice_codeunits(values, 0, 19), pa.timestamp("s"))
    except pa.ArrowInvalid:  # such as a 31st of June: the slow way says where
        return False
    return True


def _flags(columns: Mapping[str, Any], positions: Positions, problems: Problems) -> Sequence[bool]:
    if "swapped" not in columns:
        return [False] * len(columns["winner"])
    parsed = parse_flags(columns["swapped"].to_pandas())
    problems.add_where(f"swapped must be {parsed.permitted}", parsed.bad, positions, parsed.texts)
    flags: list[bool] = (parsed.values > 0).tolist()
    return flags


def _costs(
    columns: Mapping[str, Any], positions: Positions, problems: Problems
) -> Sequence[float | None]:
    if "cost_usd" not in columns:
        return [None] * len(columns["winner"])
    texts = _Column.of(columns["cost_usd"]).texts
    given = np.array([text is not None for text in texts], bool)
    parsed = parse_numbers(columns["cost_usd"].to_pandas())
    bad = parsed.bad & given
    problems.add_where(f"cost_usd must be {parsed.permitted}", bad, positions, parsed.texts)
    return [value if known else None for value, known in zip(parsed.values, given, strict=True)]


def _raters(columns: Mapping[str, Any]) -> list[str]:
    texts = _optional(columns, "rater", _ANONYMOUS, len(columns["winner"]))
    return [text.removeprefix(ARENA_USER) for text in texts]


def _kinds(columns: Mapping[str, Any], positions: Positions, problems: Problems) -> list[str]:
    if "rater_kind" not in columns:
        return ["human"] * len(columns["winner"])
    permitted = {kind: kind for kind in _KINDS}
    return _labels("rater_kind", columns["rater_kind"], permitted, positions, problems)


def _optional(columns: Mapping[str, Any], name: str, absent: Any, n: int) -> list[Any]:
    """Return a column's texts with something in place of none."""
    if name not in columns:
        return [absent] * n
    texts = _Column.of(columns[name]).texts
    return texts if None not in texts else [absent if text is None else text for text in texts]


def _mask(values: Any) -> Any:
    return np.asarray(values.fill_null(False))
