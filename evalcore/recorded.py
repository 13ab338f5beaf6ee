"""Mappings of which a part is at hand, and the rest is read once somebody asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

__all__ = ["Recorded"]

Value = TypeVar("Value")


class Recorded(Mapping[str, Value]):
    """A mapping that is read from a record when it has to be.

    A leaderboard of ten thousand runs wants one estimate of each; reading the whole of every run's
    record would take most of its time.

    Parameters
    ----------
    known
        Values that are at hand; each equals the record's.
    read
        Reads the whole mapping of a name; called at most once.
    name
        What to read.
    """

    __slots__ = ("_all", "_known", "_name", "_read")

    def __init__(
        self, known: Mapping[str, Value], read: Callable[[str], Mapping[str, Value]], name: str
    ) -> None:
        self._known = known
        self._read = read
        self._name = name
        self._all: Mapping[str, Value] | None = None

    def __getitem__(self, key: str) -> Value:
        """Return a value, from the record if it is not at hand."""
        return self._known[key] if key in self._known else self._whole()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over all keys, in the record's order."""
        return iter(self._whole())

    def __len__(self) -> int:
        """Count all keys."""
        return len(self._whole())

    def __repr__(self) -> str:
        """Show what a plain mapping would."""
        return repr(dict(self))

    def _whole(self) -> Mapping[str, Value]:
        if self._all is None:
            self._all = self._read(self._name)
        return self._all
