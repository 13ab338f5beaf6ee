"""Whether a judge prefers a place, and whether it says the same in both orders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.regression import fit, within
from evalcore.records import Estimate
from evalcore.stats.intervals import proportion_estimate

__all__ = ["Consistency", "consistency", "one_order_pairs", "position_bias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """How often a judge names the same winner in both orders."""

    share: Estimate
    """Of pairs of answers judged in both orders."""
    n_to_first: int
    """Pairs in which the verdicts together lean to the first place."""
    n_to_second: int
    n_merged: int = 0
    """Of the pairs, those merged by another tool, which doesn't tell to which place they lean."""


def position_bias(pairs: JudgedPairs, *, level: float = 0.95) -> Estimate:
    """Estimate how much oftener an answer wins because it is shown first.

    β in E[score of A] = q + β · place, with q the pair of models' own win rate and place 1 where A
    is first and −1 where B is. With both orders on every example, or a random one, this is the
    first place's win rate minus one half. It is positive where the first place is favoured, and the
    win rate differs by 2β between the two orders.

    Returns
    -------
    Estimate
        Within [−0.5, 0.5], jackknifed over examples. nan where no pair of models was judged in both
        orders: then place and quality are the same thing.
    """
    known = pairs.take(pairs.scored & (pairs.place != 0))
    design = within(known.place[:, None], known.pair)
    found = fit(design, within(known.score, known.pair), known.example)
    return found.estimate(0, level=level, bounds=(-0.5, 0.5))


def consistency(pairs: JudgedPairs, *, level: float = 0.95) -> Consistency:
    """Compare the verdicts on the same answers in the two orders.

    Of several verdicts in one order the mean counts. The winner is the answer with a score above
    one half; a tie is consistent with a tie only.
    """
    known = pairs.take(pairs.scored & (pairs.place != 0))
    unit = known.unit
    n_units = int(unit.max(initial=-1)) + 1
    straight, turned = (
        _means(known.score, unit, known.place == place, n_units=n_units) for place in (1, -1)
    )
    both = ~np.isnan(straight) & ~np.isnan(turned)
    same = np.sign(straight[both] - 0.5) == np.sign(turned[both] - 0.5)
    lean = (straight - turned)[both]
    example_of = np.zeros(n_units, np.intp)
    example_of[unit] = known.example
    return Consistency(
        share=proportion_estimate(same.astype(float), groups=example_of[both], level=level),
        n_to_first=int(np.sum(~same & (lean > 0))),
        n_to_second=int(np.sum(~same & (lean < 0))),
    )


def one_order_pairs(pairs: JudgedPairs) -> list[tuple[str, str, int]]:
    """Name the pairs of models that were judged in one order only.

    Returns
    -------
    list of tuple
        The model always shown first, the other, and the number of verdicts.
    """
    known = pairs.take(pairs.place != 0)
    found = []
    for code in range(int(known.pair.max(initial=-1)) + 1):
        rows = np.flatnonzero(known.pair == code)
        places = known.place[rows]
        if abs(places.sum()) == len(rows):
            names = known.models[known.a[rows[0]]], known.models[known.b[rows[0]]]
            first, second = names if places[0] > 0 else names[::-1]
            found.append((first, second, len(rows)))
    return found


def _means(
    score: NDArray[np.float64],
    unit: NDArray[np.intp],
    chosen: NDArray[np.bool_],
    *,
    n_units: int,
) -> NDArray[np.float64]:
    """Mean score of the chosen rows by unit, nan where there is none."""
    counts = np.bincount(unit[chosen], minlength=n_units)
    sums = np.bincount(unit[chosen], score[chosen], minlength=n_units)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
