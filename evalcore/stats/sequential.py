"""Intervals and verdicts that stay valid when results are looked at after every vote."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from evalcore.errors import InputError
from evalcore.stats.parity import Verdict, check_test_settings

__all__ = [
    "ConfidenceSequence",
    "Decision",
    "SequenceMethod",
    "StoppingRule",
    "asymptotic_sequence",
    "beta_binomial_sequence",
    "empirical_bernstein_sequence",
    "first_decision",
]

SequenceMethod = Literal["asymptotic", "empirical_bernstein"]
_BISECTIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfidenceSequence:
    """An interval after each vote; with the stated confidence all of them hold at once."""

    low: NDArray[np.float64]
    """Shape (n,)."""
    high: NDArray[np.float64]
    """Shape (n,)."""
    confidence_level: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingRule:
    """When a running study may end."""

    margin: float = 0.05
    """Half-width of parity around a win rate of one half."""
    level: float = 0.95
    """Confidence that no verdict, at whatever time, is wrong."""
    method: SequenceMethod = "asymptotic"
    """``asymptotic`` needs about half the votes, ``empirical_bernstein`` holds for any n."""
    tuned_for: int = 1_000
    """Number of votes at which the asymptotic sequence is narrowest."""
    design_effect: float = 1.0
    """Variance over that of independent votes, at least 1, where prompts or raters recur."""
    stop_at_difference: bool = True
    """End on better or worse; False: only a difference beyond the margin, or parity, ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a stopping rule says of the votes so far."""

    verdict: Verdict
    """``not enough votes``: go on."""
    n: int
    """Votes at which it was reached; all of them if it has not been."""
    low: float
    """Interval of the win rate then."""
    high: float


def asymptotic_sequence(
    scores: ArrayLike, *, level: float = 0.95, tuned_for: int = 1_000, design_effect: float = 1.0
) -> ConfidenceSequence:
    """Confidence sequence of a mean by the time-uniform central limit theorem.

    After t votes x̄ ± σ̂ √(2 (tρ² + 1) / (t²ρ²) · log(√(tρ² + 1) / α)) [1]_, narrowest at
    t = ``tuned_for``. σ̂² counts one independent vote, that is ``design_effect`` votes, with the
    greatest possible deviation, ½, beside the observed ones, so that equal votes at the beginning
    have no zero width. The error is at most α
    in the limit; in simulations with looks after every vote it stays below α.

    Parameters
    ----------
    scores
        Values in [0, 1] in the order in which they came, shape (n,): independent votes, or means
        over prompts (raters) where each has several, in the order in which they were complete.
    level
        Confidence level 1 − α.
    tuned_for
        Number of votes, at least 1.
    design_effect
        Factor on the variance, at least 1.

    References
    ----------
    .. [1] Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central limit theory
       and asymptotic confidence sequences, Annals of Statistics 52, theorem 2.2; ρ from Howard,
       Ramdas, McAuliffe & Sekhon (2021), Annals of Statistics 49, proposition 3.
    """
    observed, alpha = _checked(scores, level)
    if tuned_for < 1 or design_effect < 1.0:
        raise InputError(
            f"tuned_for and design_effect must be at least 1; got {tuned_for} and {design_effect}"
        )
    rho2 = (-float(special.lambertw(-(alpha**2) / math.e, k=-1).real) - 1.0) / tuned_for
    t = np.arange(1.0, len(observed) + 1.0)
    mean = np.cumsum(observed) / t
    squares = np.maximum(np.cumsum(observed**2) - t * mean**2, 0.0)
    variance = design_effect * (0.25 * design_effect + squares) / (t + design_effect)
    grown = t * rho2 + 1.0
    half = np.sqrt(variance * 2.0 * grown / (t**2 * rho2) * np.log(np.sqrt(grown) / alpha))
    return ConfidenceSequence(
        low=np.maximum(mean - half, 0.0),
        high=np.minimum(mean + half, 1.0),
        confidence_level=level,
        method="asymptotic",
    )


def empirical_bernstein_sequence(scores: ArrayLike, *, level: float = 0.95) -> ConfidenceSequence:
    """Confidence sequence of a mean of bounded values, valid for every n.

    The predictable plug-in empirical Bernstein sequence [1]_ with its running intersection.

    Parameters
    ----------
    scores
        Values in [0, 1], as for :func:`asymptotic_sequence`.
    level
        Confidence level 1 − α.

    References
    ----------
    .. [1] Waudby-Smith & Ramdas (2023), Estimating means of bounded random variables by betting,
       JRSS B 86, theorem 2 with eq. 15.
    """
    observed, alpha = _checked(scores, level)
    t = np.arange(1.0, len(observed) + 1.0)
    mean = (0.5 + np.cumsum(observed)) / (t + 1.0)
    mean_before = np.concatenate([[0.5], mean[:-1]])
    variance = (0.25 + np.cumsum((observed - mean) ** 2)) / (t + 1.0)
    variance_before = np.concatenate([[0.25], variance[:-1]])
    bet = np.sqrt(2.0 * math.log(2.0 / alpha) / (variance_before * t * np.log1p(t)))
    bet = np.minimum(bet, 0.5)
    cost = 4.0 * (observed - mean_before) ** 2 * (-np.log1p(-bet) - bet) / 4.0
    staked = np.cumsum(bet)
    centre = np.cumsum(bet * observed) / staked
    half = (math.log(2.0 / alpha) + np.cumsum(cost)) / staked
    return ConfidenceSequence(
        low=np.maximum.accumulate(np.maximum(centre - half, 0.0)),
        high=np.minimum.accumulate(np.minimum(centre + half, 1.0)),
        confidence_level=level,
        method="empirical Bernstein",
    )


def beta_binomial_sequence(
    scores: ArrayLike, *, level: float = 0.95, prior: float = 50.0
) -> ConfidenceSequence:
    """Confidence sequence of the share of wins among wins and losses, exact.

    It holds the π that the mixture B(a + w, a + l) / B(a, a) does not outweigh by 1/α:
    log B(a + w, a + l) − log B(a, a) − w log π − l log(1 − π) < log(1/α) [1]_, with its running
    intersection. Ties change nothing.

    Parameters
    ----------
    scores
        1 (win), 0.5 (tie) or 0 (loss), in the order in which they came, shape (n,).
    level
        Confidence level 1 − α.
    prior
        a: 50 is narrowest for shares near one half, 1 for lopsided ones.

    References
    ----------
    .. [1] Robbins (1970), Statistical methods related to the law of the iterated logarithm, Annals
       of Mathematical Statistics 41, section 2.
    """
    observed, alpha = _checked(scores, level)
    wins, losses = np.cumsum(observed == 1.0), np.cumsum(observed == 0.0)
    mixture = special.betaln(prior + wins, prior + losses) - special.betaln(prior, prior)
    allowed = math.log(1.0 / alpha)

    def outweighed(share: NDArray[np.float64]) -> NDArray[np.bool_]:
        likelihood = special.xlogy(wins, share) + special.xlogy(losses, 1.0 - share)
        return np.asarray(mixture - likelihood >= allowed)

    centre = np.where(wins + losses > 0, wins / np.maximum(wins + losses, 1), 0.5)
    low = _boundary(outweighed, np.zeros_like(centre), centre)
    high = _boundary(outweighed, np.ones_like(centre), centre)
    return ConfidenceSequence(
        low=np.maximum.accumulate(low),
        high=np.minimum.accumulate(high),
        confidence_level=level,
        method="beta-binomial mixture",
    )


def first_decision(scores: ArrayLike, rule: StoppingRule) -> Decision:
    """Apply a stopping rule to the votes of a running study.

    Call it with all votes so far, as often as wished: the chance that it ever gives a wrong verdict
    is at most 1 − ``rule.level``. Parity is reached when the whole interval lies within the margin,
    a difference when it lies on one side of ½.

    Parameters
    ----------
    scores
        1 (win), 0.5 (tie) or 0 (loss), in the order in which they came, shape (n,).
    rule
        Margin, level and kind of sequence.

    Returns
    -------
    Decision
        The first verdict reached. Without votes: ``not enough votes`` and [0, 1].
    """
    check_test_settings(rule.margin, (1.0 - rule.level) / 2.0)
    sequence = _METHODS[rule.method](scores, rule)
    low, high = sequence.low, sequence.high
    needed = 0.0 if rule.stop_at_difference else rule.margin
    parity = (low > 0.5 - rule.margin) & (high < 0.5 + rule.margin)
    better, worse = low > 0.5 + needed, high < 0.5 - needed
    reached = np.flatnonzero(parity | better | worse)
    if len(reached) == 0:
        last_low, last_high = (low[-1], high[-1]) if len(low) else (0.0, 1.0)
        return Decision(
            verdict=Verdict.NOT_ENOUGH_VOTES, n=len(low), low=float(last_low), high=float(last_high)
        )
    first = int(reached[0])
    return Decision(
        verdict=_verdict(float(low[first]), float(high[first]), parity=bool(parity[first])),
        n=first + 1,
        low=float(low[first]),
        high=float(high[first]),
    )


def _verdict(low: float, high: float, *, parity: bool) -> Verdict:
    if low > 0.5:
        return Verdict.BETTER_AND_PARITY if parity else Verdict.BETTER
    if high < 0.5:
        return Verdict.WORSE_AND_PARITY if parity else Verdict.WORSE
    return Verdict.PARITY


def _asymptotic(scores: ArrayLike, rule: StoppingRule) -> ConfidenceSequence:
    return asymptotic_sequence(
        scores, level=rule.level, tuned_for=rule.tuned_for, design_effect=rule.design_effect
    )


def _bernstein(scores: ArrayLike, rule: StoppingRule) -> ConfidenceSequence:
    if rule.design_effect != 1.0:
        raise InputError(
            "design_effect must be 1 for empirical_bernstein, which needs independent values; "
            f"got {rule.design_effect}"
        )
    return empirical_bernstein_sequence(scores, level=rule.level)


_METHODS: Mapping[str, Callable[[ArrayLike, StoppingRule], ConfidenceSequence]] = {
    "asymptotic": _asymptotic,
    "empirical_bernstein": _bernstein,
}


def _checked(scores: ArrayLike, level: float) -> tuple[NDArray[np.float64], float]:
    observed = np.asarray(scores, dtype=float).reshape(-1)
    if not np.all((observed >= 0.0) & (observed <= 1.0)):
        raise InputError("scores must lie between 0 and 1")
    if not 0.0 < level < 1.0:
        raise InputError(f"level must lie between 0 and 1; got {level}")
    return observed, 1.0 - level


def _boundary(
    outweighed: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    outer: NDArray[np.float64],
    inner: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Bisect, for all times at once, between a value that may be out and one that is in."""
    outer, inner = outer.astype(float), inner.astype(float)
    inside = ~outweighed(outer)
    for _ in range(_BISECTIONS):
        middle = (outer + inner) / 2.0
        out = outweighed(middle)
        outer, inner = np.where(out, middle, outer), np.where(out, inner, middle)
    return np.where(inside, np.rint(outer), outer)
