"""Which of a great many texts came before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Repeats"]


class Repeats:
    """Remember texts, in eight bytes each.

    What is kept of a text is its hash of 64 bits: among a million texts the odds that any two
    are taken for the same are 1 to 37 million.
    """

    def __init__(self) -> None:
        self._runs: list[NDArray[np.int64]] = []

    def add(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell of each text whether it came before, and remember it; ``(n,)``."""
        hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
        first = np.zeros(len(texts), bool)
        unique, where = np.unique(hashes, return_index=True)
        first[where] = True
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            first[where[run[place] == unique]] = False
        self._remember(unique)
        return ~first

    def _remember(self, run: NDArray[np.int64]) -> None:
        """Keep sorted runs, each more than twice as long as the next: few to search."""
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
