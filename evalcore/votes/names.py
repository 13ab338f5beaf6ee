"""Names as codes: of models, raters and examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from evalcore.votes.parse import MISSING

__all__ = ["NameEncoder", "as_dictionary", "filled"]

_FEW = 1 << 10


class NameEncoder:
    """Give names codes in the order in which they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def add(self, values: Any) -> NDArray[np.int32]:
        """Encode an Arrow array of text; -1 where a name is missing.

        Where few names are known they are likely to be all: looking them up takes two thirds of the
        time of collecting them.
        """
        if 0 < len(self._codes) <= _FEW and not isinstance(values, pa.DictionaryArray):
            codes = pc.index_in(values, value_set=pa.array(list(self._codes), values.type))
            if not codes.null_count:
                return np.asarray(codes)
        encoded = as_dictionary(values)
        names = encoded.dictionary.to_pylist()
        for name in sorted(set(names) - MISSING):  # sorted, so that codes are final most often
            self._codes.setdefault(name, len(self._codes))
        table = np.array([*(self._codes.get(name, -1) for name in names), -1], np.int32)
        return np.asarray(table[filled(encoded.indices)])

    def sorted_names(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the names sorted, and the position there of each code."""
        names = tuple(sorted(self._codes))
        position = {name: place for place, name in enumerate(names)}
        return names, np.array([position[name] for name in self._codes], np.int64)


def as_dictionary(values: Any) -> Any:
    """Make an Arrow array one of positions in a dictionary, unless it is."""
    return values if isinstance(values, pa.DictionaryArray) else values.dictionary_encode()


def filled(positions: Any) -> NDArray[Any]:
    """Positions in a list as NumPy has them; -1, which picks a table's last entry, for none."""
    return np.asarray(positions.fill_null(-1) if positions.null_count else positions)
