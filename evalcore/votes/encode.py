"""From columns of text to codes, with every check that a set of votes has to pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalcore.votes.columns import WINNERS, Categories, Votes, code_dtype
from evalcore.votes.names import NameEncoder, filled
from evalcore.votes.parse import MISSING, Parsed, parse_flags, parse_numbers, parse_times
from evalcore.votes.problems import Positions, Problems
from evalcore.votes.schema import REQUIRED, feature_columns

__all__ = ["VotesBuilder"]

_WINNER_LABELS: Mapping[str, int] = {
    **{name: code for code, name in enumerate(WINNERS)},
    "tie (bothbad)": WINNERS.index("both_bad"),
}
_WINNER_PERMITTED = f"winner must be one of {', '.join(WINNERS)}"
_UNKNOWN = 255
_SIDES = ("model_a", "model_b")
_NAMES = ("rater", "example_id", "rater_kind")
_BLOCK_VOTES = 1 << 18  # a block's codes stay in the cache


class VotesBuilder:
    """Take votes in chunks of columns, check them and make one :class:`Votes`.

    Parameters
    ----------
    source
        File or other origin, for messages.
    features
        Names of style features, each read from the two columns ``NAME_a`` and ``NAME_b``.
    unit
        What a position counts in messages: ``line`` or ``row``.
    """

    def __init__(self, source: str, *, features: Sequence[str] = (), unit: str = "line") -> None:
        self.problems = Problems(source, unit)
        self._source = source
        self._features = tuple(features)
        self._models = NameEncoder()
        self._optional = {name: NameEncoder() for name in _NAMES}
        self._chunks: dict[str, list[NDArray[Any]]] = {}
        self._ids: list[tuple[Any, Positions]] = []

    def add(self, columns: Mapping[str, Any], positions: Positions) -> None:
        """Check and keep a chunk.

        Parameters
        ----------
        columns
            Arrow arrays of text, of equal length n, by the vote file's column names; ``model_a``,
            ``model_b``, ``winner`` and the features' columns must be there.
        positions
            ``(n,)`` line or row of each vote.
        """
        for first in range(0, len(columns["winner"]), _BLOCK_VOTES):
            rows = slice(first, first + _BLOCK_VOTES)
            battles = {name: columns[name][rows] for name in REQUIRED}
            self._add_battles(battles, positions[rows])
        for name in columns.keys() & self._optional.keys():
            self._keep(name, self._optional[name].add(columns[name]))
        if "created_utc" in columns:
            times = parse_times(_series(columns["created_utc"]))
            self._add_parsed("created_utc", times, positions)
        if "swapped" in columns:
            self._add_parsed("swapped", parse_flags(_series(columns["swapped"])), positions)
        if "id" in columns:
            self._ids.append((columns["id"], positions))
        for name in (column for feature in self._features for column in feature_columns(feature)):
            self._add_parsed(name, parse_numbers(_series(columns[name])), positions)

    def build(self) -> Votes:
        """Put the chunks together.

        Raises
        ------
        VotesError
            For anything wrong in any chunk, for no vote at all, and for fewer than two models.
        """
        self._check_ids()
        names, order = self._models.sorted_names()
        self._check_size(len(names))
        self.problems.raise_if_any()
        dtype = code_dtype(len(names))
        in_order = np.array_equal(order, np.arange(len(names)))

        def codes(name: str) -> NDArray[Any]:
            if in_order:
                return np.concatenate(self._chunks.pop(name), dtype=dtype, casting="unsafe")
            return np.asarray(order.astype(dtype)[self._joined(name)])

        return Votes(
            models=names,
            model_a=codes("model_a"),
            model_b=codes("model_b"),
            winner=self._joined("winner"),
            rater=self._categories("rater"),
            example=self._categories("example_id"),
            rater_kind=self._categories("rater_kind"),
            created_s=self._times(),
            swapped=self._flags(),
            features={
                feature: self._sides(*feature_columns(feature)) for feature in self._features
            },
            source=self._source,
        )

    def _check_size(self, n_models: int) -> None:
        n_votes = sum(len(chunk) for chunk in self._chunks.get("winner", ()))
        if self.problems:
            return
        if not n_votes:
            self.problems.add("there must be at least one vote", 0, count=0)
        elif n_models < 2:
            self.problems.add("there must be at least two models", 0, count=n_votes)

    def _keep(self, name: str, values: NDArray[Any]) -> None:
        self._chunks.setdefault(name, []).append(values)

    def _add_battles(self, columns: Mapping[str, Any], positions: Positions) -> None:
        code_a, code_b = (self._add_models(name, columns, positions) for name in _SIDES)
        self.problems.add_where(
            "model_a and model_b must differ",
            (code_a == code_b) & (code_a >= 0),
            positions,
            columns["model_a"],
        )
        winner = _winner_codes(columns["winner"])
        self.problems.add_where(_WINNER_PERMITTED, winner == _UNKNOWN, positions, columns["winner"])
        self._keep("winner", winner)

    def _add_models(
        self, name: str, columns: Mapping[str, Any], positions: Positions
    ) -> NDArray[np.int32]:
        codes = self._models.add(columns[name])
        self.problems.add_where(
            f"{name} must be a model's name", codes < 0, positions, columns[name]
        )
        self._keep(name, codes)
        return codes

    def _add_parsed(self, name: str, parsed: Parsed, positions: Positions) -> None:
        self.problems.add_where(
            f"{name} must be {parsed.permitted}", parsed.bad, positions, parsed.texts
        )
        self._keep(name, parsed.values)

    def _check_ids(self) -> None:
        if self._ids:
            ids = pd.Series(pa.concat_arrays([ids for ids, _ in self._ids]).to_pandas())
            positions = np.concatenate([positions for _, positions in self._ids])
            repeated = (ids.duplicated() & ids.notna() & ~ids.isin(list(MISSING))).to_numpy()
            self.problems.add_where("id must be unique", repeated, positions, ids)

    def _categories(self, name: str) -> Categories | None:
        names, order = self._optional[name].sorted_names()
        if not names:
            return None
        codes = np.concatenate([order, [-1]]).astype(np.int32)[self._joined(name)]
        return Categories(codes=codes, names=names)

    def _times(self) -> NDArray[np.float64] | None:
        times = self._joined("created_utc")
        return None if times is None or np.isnan(times).all() else times

    def _flags(self) -> NDArray[np.int8] | None:
        flags = self._joined("swapped")
        return None if flags is None or (flags < 0).all() else flags

    def _sides(self, name_a: str, name_b: str) -> NDArray[np.float64]:
        """``(n, 2)``, A's and B's values each in one piece."""
        both = np.concatenate(self._chunks.pop(name_a) + self._chunks.pop(name_b))
        return both.reshape(2, -1).T

    def _joined(self, name: str) -> Any:
        chunks = self._chunks.pop(name, None)
        return chunks and np.concatenate(chunks)


def _winner_codes(labels: Any) -> NDArray[np.uint8]:
    """Outcomes of an Arrow array of labels; ``_UNKNOWN`` where a label is none of the permitted."""
    if isinstance(labels, pa.DictionaryArray):
        given, positions = labels.dictionary.to_pylist(), labels.indices
    else:
        given = list(_WINNER_LABELS)
        positions = pc.index_in(labels, value_set=pa.array(given, labels.type))
    codes = [*(_WINNER_LABELS.get(label, _UNKNOWN) for label in given), _UNKNOWN]
    return np.asarray(np.array(codes, np.uint8)[filled(positions)])


def _series(values: Any) -> pd.Series[Any]:
    return pd.Series(values, copy=False) if isinstance(values, np.ndarray) else values.to_pandas()
