"""Every two models of a column compared; a pair's difference is computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.paired import PairedDifference, holm
from evalcore.stats.tie_letters import tie_letters

__all__ = ["Compare", "CompareAll", "Pair", "Pairs", "no_pairs"]

Compare = Callable[[str, str], PairedDifference]
"""Compares two models, by fingerprint."""
CompareAll = Callable[[NDArray[np.float64]], Iterable[PairedDifference] | None]
"""Compares every two, given their raw p-values, in the order of :func:`itertools.combinations`;
None where they have to be compared one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two models on the same examples, or in the same votes."""

    model_a: str
    """Fingerprint."""
    model_b: str
    """Fingerprint."""
    paired: PairedDifference
    """Model a minus model b, and the raw p-value of no difference."""
    adjusted_p_value: float
    """Holm's, over all pairs of the column or of the rating."""
    significant: bool
    """Whether the adjusted p-value is below 1 - the leaderboard's confidence level."""


class Pairs:
    """The comparisons of every two of some models, made when somebody asks for the first.

    Parameters
    ----------
    fingerprints
        Of the models.
    p_values
        Computes those of no difference, raw: ``(n_models, n_models)``, symmetric.
    level
        1 minus it is the level of the tests together.
    compare
        Tells the difference of two models with its interval: a hundred models have 4,950 pairs, of
        which a reader asks for a few.
    compare_all
        Tells all of them at once, for who asks for all.
    """

    def __init__(
        self,
        fingerprints: Sequence[str],
        p_values: Callable[[], NDArray[np.float64]],
        *,
        level: float,
        compare: Compare,
        compare_all: CompareAll | None = None,
    ) -> None:
        self.fingerprints = tuple(fingerprints)
        self._place = {fingerprint: place for place, fingerprint in enumerate(fingerprints)}
        self._p_values = p_values
        self._level = level
        self._compare = compare
        self._compare_all = compare_all
        self._letters: dict[tuple[str, ...], dict[str, str]] = {}

    @cached_property
    def _raw(self) -> NDArray[np.float64]:
        return self._p_values()

    @cached_property
    def _adjusted(self) -> NDArray[np.float64]:
        """``(n_models, n_models)`` p-values adjusted by Holm."""
        raw = self._raw
        upper = np.triu_indices(len(self.fingerprints), k=1)
        adjusted = np.ones_like(raw)
        adjusted[upper] = holm(raw[upper])
        return np.minimum(adjusted, adjusted.T)

    @cached_property
    def significant(self) -> NDArray[np.bool_]:
        """``(n_models, n_models)``: which two differ significantly."""
        return np.asarray(self._adjusted < 1.0 - self._level)

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.fingerprints) * (len(self.fingerprints) - 1) // 2

    def __iter__(self) -> Iterator[Pair]:
        """Yield all pairs, each of them compared."""
        two = list(combinations(self.fingerprints, 2))
        every = None if self._compare_all is None or not two else self._compare_all(self._raw)
        if every is None:
            every = (self._compare(a, b) for a, b in two)
        upper = np.triu_indices(len(self.fingerprints), k=1)
        adjusted, significant = self._adjusted[upper].tolist(), self.significant[upper].tolist()
        for (a, b), paired, p_value, differ in zip(two, every, adjusted, significant, strict=True):
            yield Pair(
                model_a=a, model_b=b, paired=paired, adjusted_p_value=p_value, significant=differ
            )

    def find(self, model_a: str, model_b: str) -> Pair | None:
        """Compare two models, by fingerprint and in either order; None if one is missing."""
        places = sorted(self._place[name] for name in (model_a, model_b) if name in self._place)
        if len(places) < 2 or places[0] == places[1]:
            return None
        return self._pair(*(self.fingerprints[place] for place in places))

    def differ(self, order: Sequence[str]) -> NDArray[np.bool_]:
        """Which two of some models differ significantly, ``(k, k)`` in the order given.

        A model that is not among the pairs differs from none.
        """
        places = np.array([self._place.get(name, -1) for name in order], dtype=np.intp)
        known = places >= 0
        if not len(self.fingerprints):
            return np.zeros((len(order), len(order)), dtype=bool)
        found = self.significant[np.ix_(places, places)]
        return np.asarray(found & known & known[:, None])

    def letters(self, order: Sequence[str]) -> dict[str, str]:
        """Tie groups by fingerprint, for models from best to worst; made once."""
        key = tuple(order)
        if key not in self._letters:
            told = tie_letters(range(len(key)), self.differ(key))
            self._letters[key] = dict(zip(key, told, strict=True))
        return self._letters[key]

    def not_worse(self, order: Sequence[str]) -> tuple[str, ...]:
        """Find the first of some models and those that don't differ from it significantly."""
        if not order:
            return ()
        differs = self.differ(order)[0]
        return tuple(name for name, is_other in zip(order, differs, strict=True) if not is_other)

    def _pair(self, a: str, b: str) -> Pair:
        cell = self._place[a], self._place[b]
        return Pair(
            model_a=a,
            model_b=b,
            paired=self._compare(a, b),
            adjusted_p_value=float(self._adjusted[cell]),
            significant=bool(self.significant[cell]),
        )


def no_pairs() -> Pairs:
    """Return the pairs of no models."""

    def compare(model_a: str, model_b: str) -> PairedDifference:
        raise KeyError(model_a, model_b)

    return Pairs((), lambda: np.ones((0, 0)), level=0.95, compare=compare)
