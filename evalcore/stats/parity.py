"""Tests whether a model is better, worse, or as good as another within a margin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evalcore.errors import InputError
from evalcore.stats.win_rate import WinRate

__all__ = ["ParityTest", "Verdict", "check_test_settings", "parity_test", "verdict_words"]


class Verdict(StrEnum):
    """What the votes say about two models."""

    BETTER = "better"
    WORSE = "worse"
    PARITY = "at parity"
    BETTER_AND_PARITY = "different (better) and at parity"
    WORSE_AND_PARITY = "different (worse) and at parity"
    NOT_ENOUGH_VOTES = "not enough votes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityTest:
    """Tests of a win rate against one half and against a margin around it."""

    margin: float
    """Win rates in (0.5 − margin, 0.5 + margin) are parity."""
    alpha: float
    """Level of each test."""
    p_difference: float
    """Two-sided, of a win rate of one half."""
    p_parity: float
    """Of a win rate outside the margin: the larger of two one-sided tests."""
    p_noninferior: float
    """One-sided, of a win rate of 0.5 − margin or less."""
    smallest_margin: float
    """Least margin at which parity would be shown; 0.5, which says nothing, without votes."""
    verdict: Verdict

    @property
    def words(self) -> str:
        """The verdict in words, with the margin where it claims parity."""
        return verdict_words(self.verdict, self.margin)


def parity_test(result: WinRate, *, margin: float = 0.05, alpha: float = 0.05) -> ParityTest:
    """Test for a difference, for parity and for non-inferiority.

    Parity is claimed if two one-sided tests at level α both reject, θ ≤ ½ − δ and θ ≥ ½ + δ [1]_:
    a missing difference never is enough. The smallest margin is the larger distance from ½ of the
    ends of the 1 − 2α interval. A win rate can be different from ½ and at parity: then the
    difference is real, and smaller than the margin. The tests are those of
    :class:`~evalcore.stats.trinomial.EffectiveCounts`, on effective counts where votes cluster;
    those against the margin are corrected for continuity, which keeps their size at α or below.

    Parameters
    ----------
    result
        The win rate.
    margin
        Half-width δ of parity, in (0, 0.5), as a share: 0.05 means 45 % to 55 %.
    alpha
        Level of each test, in (0, 0.5).

    Returns
    -------
    ParityTest
        Without votes each p-value is 1 and the verdict "not enough votes".

    References
    ----------
    .. [1] Schuirmann (1987), A comparison of the two one-sided tests procedure and the power
       approach for assessing the equivalence of average bioavailability, J. Pharmacokinetics and
       Biopharmaceutics 15, 657-680.

    Examples
    --------
    >>> from evalcore.stats.win_rate import PairVotes, win_rate
    >>> import numpy as np
    >>> votes = win_rate(PairVotes(scores=np.repeat([1.0, 0.0], [3401, 3641])))
    >>> test = parity_test(votes, margin=0.05)
    >>> test.words, round(test.p_difference, 3), round(test.smallest_margin, 4)
    ('different (worse) and at parity within ±0.05', 0.004, 0.0269)
    """
    check_test_settings(margin, alpha)
    counts = result.effective
    low, high = (end / 2.0 for end in counts.interval(1.0 - 2.0 * alpha, corrected=True))
    p_noninferior = counts.p_greater(-2.0 * margin)
    p_parity = max(p_noninferior, counts.p_less(2.0 * margin))
    p_difference = counts.p_different()
    return ParityTest(
        margin=margin,
        alpha=alpha,
        p_difference=p_difference,
        p_parity=p_parity,
        p_noninferior=p_noninferior,
        smallest_margin=max(-low, high),
        verdict=_verdict(
            different=p_difference < alpha,
            better=counts.wins > counts.losses,
            parity=p_parity < alpha,
        ),
    )


def verdict_words(verdict: Verdict, margin: float) -> str:
    """Say a verdict, with the margin where it claims parity."""
    return f"{verdict} within ±{margin:g}" if verdict.endswith("at parity") else str(verdict)


def check_test_settings(margin: float, alpha: float) -> None:
    """Raise :class:`~evalcore.errors.InputError` unless both lie in (0, 0.5)."""
    for name, value in (("margin", margin), ("alpha", alpha)):
        if not 0.0 < value < 0.5:
            raise InputError(f"{name} must lie between 0 and 0.5; got {value}")


def _verdict(*, different: bool, better: bool, parity: bool) -> Verdict:
    if different and parity:
        return Verdict.BETTER_AND_PARITY if better else Verdict.WORSE_AND_PARITY
    if different:
        return Verdict.BETTER if better else Verdict.WORSE
    return Verdict.PARITY if parity else Verdict.NOT_ENOUGH_VOTES
