"""What is wrong with a set of votes: one line for each kind, however many rows have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalcore.errors import VotesError

__all__ = ["Positions", "Problems"]

Positions = Sequence[int] | NDArray[Any]
"""Line or row of each vote, ``(n,)``."""


class Problems:
    """Collect problems by kind, then raise them together.

    Parameters
    ----------
    source
        File or other origin, for the message.
    unit
        What a position counts: ``line`` or ``row``.
    """

    def __init__(self, source: str, unit: str) -> None:
        self._source = source
        self._unit = unit
        self._found: dict[str, tuple[int, int, str]] = {}

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._found)

    def add(self, kind: str, position: int, *, count: int = 1, got: str = "") -> None:
        """Note a problem.

        Parameters
        ----------
        kind
            What is wrong and what is permitted.
        position
            Line or row of the first offender.
        count
            How many rows have it.
        got
            The first offender's value, in its Python form; empty to leave it out.
        """
        first, so_far, sample = self._found.get(kind, (position, 0, got))
        self._found[kind] = (min(first, position), so_far + count, sample)

    def add_where(
        self,
        kind: str,
        mask: NDArray[np.bool_],
        positions: Positions,
        values: Any = None,
    ) -> None:
        """Note a problem for the rows of a mask; ``values`` holds what was found in each row."""
        offenders = np.flatnonzero(mask)
        if offenders.size:
            got = "" if values is None else _python_form(values[int(offenders[0])])
            first = int(positions[offenders[0]])
            self.add(kind, first, count=offenders.size, got=got)

    def raise_if_any(self) -> None:
        """Raise a :class:`VotesError` with a line for each kind, in the order of the file."""
        if self._found:
            by_position = sorted(self._found.items(), key=lambda item: item[1][0])
            raise VotesError("\n".join(self._line(kind, *facts) for kind, facts in by_position))

    def _line(self, kind: str, position: int, count: int, got: str) -> str:
        where = f"{self._source}, {self._unit} {position}" if position else self._source
        what = f"{kind}; got {got}" if got else kind
        return f"{what} ({where}; {count} {self._unit}{'' if count == 1 else 's'})"


def _python_form(value: Any) -> str:
    return f"{value.as_py() if isinstance(value, pa.Scalar) else value!r:.80}"
