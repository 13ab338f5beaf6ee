"""Votes by the column: checked like a vote file, and made into rows of the workspace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalcore.exchange.identity import imported_model, vote_id
from evalcore.exchange.records import VOTE_COLUMNS, ImportContext, Parcel
from evalcore.exchange.repeats import Repeats
from evalcore.exchange.vote_values import (
    Columns,
    are_our_times,
    costs,
    each,
    flags,
    given,
    kinds,
    labels,
    mask,
    optional,
    raters,
    renamed,
    short,
    time_texts,
)
from evalcore.store.bulk import python_values
from evalcore.votes.columns import WINNERS
from evalcore.votes.parse import PERMITTED_TIMES, parse_times
from evalcore.votes.problems import Positions, Problems

__all__ = ["ALIASES", "WANTED", "WINNER_LABELS", "VoteColumns"]

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
_GLOBAL_ID = r"^(?:[0-9a-f]{16,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
"""Ids that name one vote of all there are, such as a UUID, and not one of a file."""
_SHORT_ID = r"^(?s:.{1,64})$"
"""Ids of our own files, which there is room for."""
_EARLIEST_S, _LATEST_S = -6.2e10, 2.5e11
"""Years 5 and 9892: between them a year has four digits."""

_SIDES = ("model_a", "model_b")


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
            "model_a and model_b must differ", mask(same), positions, columns["model_a"]
        )
        winners = labels("winner", columns["winner"], WINNER_LABELS, positions, problems)
        times = self._times(columns, positions, problems)
        votes: dict[str, Any] = {
            "winner": winners,
            "rater": raters(columns),
            "rater_kind": kinds(columns, positions, problems),
            "swapped": flags(columns, positions, problems),
            "created_utc": times,
            "explanation": optional(columns, "explanation", ""),
            "judge_prompt_version": optional(columns, "judge_prompt_version", None),
            "cost_usd": costs(columns, positions, problems),
        }
        problems.raise_if_any()
        for name, side in zip(_SIDES, sides, strict=True):
            votes[name] = renamed(side, self._models.__getitem__)
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
        encoded = given(values).dictionary_encode()
        missing = np.asarray(pc.is_null(encoded))
        problems.add_where(f"{name} must be a model's name", missing, positions, values)
        for model in sorted(encoded.dictionary.to_pylist()):
            own = self._context.own_models.get(model)
            self._models.setdefault(model, own or imported_model(model).fingerprint)
        return encoded

    def _times(self, columns: Columns, positions: Positions, problems: Problems) -> Any:
        """Return times as the workspace has them, or the one of the import."""
        values = columns.get("created_utc")
        if values is None:
            return self._context.now
        if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
            seconds = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            bad, permitted = np.isinf(seconds), PERMITTED_TIMES
        elif are_our_times(values):
            return values
        else:
            parsed = parse_times(values.to_pandas())
            seconds, bad, permitted = np.asarray(parsed.values), parsed.bad, parsed.permitted
        known = np.isfinite(seconds)
        strange = bad | (known & ((seconds < _EARLIEST_S) | (seconds > _LATEST_S)))
        problems.add_where(f"created_utc must be {permitted}", strange, positions, values)
        known &= ~strange
        return pc.if_else(pa.array(known), time_texts(seconds, known), self._context.now)

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
            return ids, short(ids)
        prompts = short(given(columns["example_id"]))
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
        own = given(values)
        keys = [
            f"\0{place}" if text is None else text for place, text in enumerate(own.to_pylist())
        ]
        repeated = self._repeats.add(keys) & np.asarray(pc.is_valid(own))
        problems.add_where("id must be unique", repeated, positions, values)
        pattern = _GLOBAL_ID if self._battle_ids else _SHORT_ID
        keep = pc.match_substring_regex(own, pattern).fill_null(False)
        if pc.all(keep).as_py():
            return own
        made = map(vote_id, python_values(own.fill_null("")), each(times), *map(each, said))
        return pc.if_else(keep, own, pa.array(list(made), pa.string()))

    def _made_ids(self, columns: Columns, said: Sequence[pa.Array], times: Any) -> pa.Array:
        """Return ids that are made of what votes say, and of how often it was said before."""
        prompts = optional(columns, "example_id", "")
        n = len(columns["winner"])
        facts = zip(range(n), each(prompts), each(times), *map(each, said), strict=False)
        ids = [vote_id(*fact) for _, *fact in facts]
        for place in np.flatnonzero(self._repeats.add(ids)).tolist():
            self._counts[ids[place]] += 1
            ids[place] = vote_id(ids[place], str(self._counts[ids[place]]))
        return pa.array(ids, pa.string())
