"""Whether a model's scores are those of another within a margin, from paired examples."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from evalcore.records import Estimate
from evalcore.stats.paired import PairedDifference, paired_difference
from evalcore.stats.parity import Verdict, verdict_words

__all__ = ["Equivalence", "equivalence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """A difference, its test, and the test of parity within a margin."""

    paired: PairedDifference
    """First minus second, with the interval of two one-sided tests, of level 1 − 2α."""
    margin: float
    smallest_margin: float
    """Least margin at which parity would be shown."""
    verdict: str

    @property
    def difference(self) -> Estimate:
        """First minus second."""
        return self.paired.difference


def equivalence(
    first: ArrayLike,
    second: ArrayLike,
    *,
    margin: float,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> Equivalence:
    """Test for a difference, and by two one-sided tests for parity within the margin.

    Parity is shown at level α = 1 − `level` if the 1 − 2α interval lies within the margin [1]_. A
    difference can be real and smaller than the margin; then both are said.

    Parameters
    ----------
    first, second
        Scores of the same examples, shape (n,).
    margin
        Half-width of parity, in the scores' unit; above 0.
    weights, groups
        As for :func:`~evalcore.stats.paired.paired_difference`.
    higher_is_better
        Whether a higher score of the first makes it the better one.
    level
        Confidence level.

    References
    ----------
    .. [1] Schuirmann (1987), A comparison of the two one-sided tests procedure and the power
       approach, J. Pharmacokinetics and Biopharmaceutics 15, 657-680.

    Examples
    --------
    >>> equivalence([1.0] * 40 + [0.0] * 10, [1.0] * 40 + [0.0] * 10, margin=0.1).verdict
    'at parity within ±0.1'
    """
    alpha = 1.0 - level
    paired = paired_difference(
        first, second, weights=weights, groups=groups, level=1.0 - 2.0 * alpha
    )
    smallest = max(-paired.difference.low, paired.difference.high)
    return Equivalence(
        paired=paired,
        margin=margin,
        smallest_margin=smallest,
        verdict=_verdict(
            different=paired.p_value < alpha,
            better=(paired.difference.value > 0.0) == higher_is_better,
            parity=smallest < margin,
            margin=margin,
        ),
    )


def _verdict(*, different: bool, better: bool, parity: bool, margin: float) -> str:
    if different and parity:
        both = Verdict.BETTER_AND_PARITY if better else Verdict.WORSE_AND_PARITY
        return verdict_words(both, margin)
    if different:
        return str(Verdict.BETTER if better else Verdict.WORSE)
    return verdict_words(Verdict.PARITY, margin) if parity else "not enough examples"
