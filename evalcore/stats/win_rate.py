"""How often one model's answer is preferred to another's, a tie counting half."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from evalcore.errors import InputError, VotesError
from evalcore.records import Estimate
from evalcore.stats.clustering import cluster_variance
from evalcore.stats.trinomial import EffectiveCounts

if TYPE_CHECKING:
    from evalcore.votes import Categories, Votes

__all__ = ["PairVotes", "WinRate", "WinRatePosterior", "win_rate", "win_rate_posterior"]

_EXACT_UP_TO = 30
_TIE_QUANTILES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVotes:
    """Votes between two models, from the first one's view."""

    scores: NDArray[np.float64]
    """1 for a win, 0.5 for a tie (both bad included), 0 for a loss; shape (n,)."""
    raters: NDArray[np.int64] | None = None
    """Who voted: equal numbers are the same rater; shape (n,)."""
    examples: NDArray[np.int64] | None = None
    """What was voted on; shape (n,)."""

    @classmethod
    def from_votes(cls, votes: Votes, model_a: str, model_b: str) -> PairVotes:
        """Take the votes between two models, whichever of them was called A.

        A vote without rater (or example) counts as one by a rater (on an example) of its own.

        Raises
        ------
        VotesError
            For a name that the votes don't hold, or the same name twice. No votes between two known
            models is not an error.
        """
        first, second = (_model_code(votes, name) for name in (model_a, model_b))
        if first == second:
            raise VotesError(f"a model can't be compared with itself; got {model_a!r} twice")
        straight = (votes.model_a == first) & (votes.model_b == second)
        turned = (votes.model_a == second) & (votes.model_b == first)
        rows = np.flatnonzero(straight | turned)
        score_of_a = np.array([1.0, 0.0, 0.5, 0.5])[votes.winner[rows]]
        return cls(
            scores=np.where(straight[rows], score_of_a, 1.0 - score_of_a),
            raters=_labels(votes.rater, rows),
            examples=_labels(votes.example, rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRate:
    """A win rate and what it was estimated from."""

    estimate: Estimate
    wins: int
    ties: int
    losses: int
    effective: EffectiveCounts
    """The votes' worth after clustering; every test is made on these."""
    design_effect: float
    """Variance over that of as many independent votes; nan if no vote differs from another."""


def win_rate(pair: PairVotes, *, level: float = 0.95) -> WinRate:
    """Estimate the win rate (wins + ties/2) / n.

    Independent votes: the score interval for wins, ties and losses
    (:func:`~evalcore.stats.trinomial.tango_interval`; without ties it is Wilson's); for n ≤ 30 the
    exact interval. Where raters or examples come up more than once, votes are clustered by both:
    the variance V of :func:`~evalcore.stats.clustering.cluster_variance` turns n votes into
    n* = n · V_iid / V effective ones (n at most), and Student's t replaces the normal quantile. If
    all votes are equal V is unknown, and each rater or example, whichever are fewer, counts once.

    A single rater (or example) can't be told from raters (examples) in general: clustering by it is
    left out, and the result holds for that one only, as ``estimate.method`` says.

    Parameters
    ----------
    pair
        The votes.
    level
        Confidence level.

    Returns
    -------
    WinRate
        For n = 0 the value is nan and the interval [0, 1].

    Examples
    --------
    >>> result = win_rate(PairVotes(scores=np.array([1.0, 1.0, 0.5, 0.0] * 100)))
    >>> round(result.estimate.low, 3), result.estimate.value, round(result.estimate.high, 3)
    (0.584, 0.625, 0.665)
    """
    scores = np.asarray(pair.scores, dtype=float)
    if not np.all(np.isin(scores, (0.0, 0.5, 1.0))):
        raise InputError("scores must be 1 (win), 0.5 (tie) or 0 (loss)")
    wins, ties, losses = (int(np.sum(scores == score)) for score in (1.0, 0.5, 0.0))
    groupings, method = _groupings(pair)
    worth, df = _effective_n(scores, groupings) if groupings else (float(len(scores)), math.inf)
    share = worth / len(scores) if len(scores) else 0.0
    effective = EffectiveCounts(
        wins=wins * share,
        ties=ties * share,
        losses=losses * share,
        df=df,
        exact=not groupings and len(scores) <= _EXACT_UP_TO,
    )
    low, high = ((1.0 + end) / 2.0 for end in effective.interval(level))
    return WinRate(
        estimate=Estimate(
            value=float(scores.mean()) if len(scores) else math.nan,
            low=low,
            high=high,
            confidence_level=level,
            method=f"{'exact' if effective.exact else 'score'} interval, {method}",
            n=len(scores),
        ),
        wins=wins,
        ties=ties,
        losses=losses,
        effective=effective,
        design_effect=1.0 / share if share and np.ptp(scores) > 0.0 else math.nan,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WinRatePosterior:
    """What is believed of a win rate after votes, given the Jeffreys prior."""

    estimate: Estimate
    """Posterior mean and equal-tailed credible interval."""
    p_better: float
    """Probability that the win rate exceeds one half."""
    p_parity: float
    """Probability that it lies within ``margin`` of one half."""
    margin: float


def win_rate_posterior(
    counts: EffectiveCounts, *, margin: float = 0.05, level: float = 0.95
) -> WinRatePosterior:
    """Bayesian estimate of a win rate.

    Shares of wins, ties and losses have the Dirichlet(½, ½, ½) prior [1]_. With tie share t and
    share π of wins among the rest, independent a posteriori with Beta distributions, the win rate
    is t/2 + (1 − t) π; its distribution function is that of π averaged over 2,000 quantiles of t.

    Parameters
    ----------
    counts
        Votes, effective ones where they are clustered (``WinRate.effective``), and fewer by
        (z/t)² where their number is itself an estimate. Without votes the result is the prior.
    margin
        Half-width of parity, in (0, 0.5).
    level
        Probability of the credible interval.

    References
    ----------
    .. [1] Jeffreys (1946), An invariant form for the prior probability in estimation problems,
       Proc. Royal Society A 186, 453-461.

    Examples
    --------
    >>> round(win_rate_posterior(EffectiveCounts(wins=60, ties=0, losses=40)).p_better, 3)
    0.978
    """
    shrink = counts.shrinkage(level)
    wins, ties, losses = (
        count * shrink + 0.5 for count in (counts.wins, counts.ties, counts.losses)
    )
    grid = (np.arange(_TIE_QUANTILES) + 0.5) / _TIE_QUANTILES
    tie = special.betaincinv(ties, wins + losses, grid)

    def below(rate: float) -> float:
        share = np.clip((rate - tie / 2.0) / (1.0 - tie), 0.0, 1.0)
        return float(special.betainc(wins, losses, share).mean())

    low, high = (
        float(optimize.brentq(lambda rate, tail=tail: below(rate) - tail, 0.0, 1.0))
        for tail in ((1.0 - level) / 2.0, (1.0 + level) / 2.0)
    )
    return WinRatePosterior(
        estimate=Estimate(
            value=(wins + ties / 2.0) / (wins + ties + losses),
            low=low,
            high=high,
            confidence_level=level,
            method="posterior, Jeffreys prior",
            n=round(counts.n),
        ),
        p_better=1.0 - below(0.5),
        p_parity=below(0.5 + margin) - below(0.5 - margin),
        margin=margin,
    )


def _model_code(votes: Votes, name: str) -> int:
    if name not in votes.models:
        known = ", ".join(votes.models) or "none"
        raise VotesError(f"model must be one of {known}; got {name!r} ({votes.source})")
    return votes.models.index(name)


def _labels(names: Categories | None, rows: NDArray[np.intp]) -> NDArray[np.int64] | None:
    if names is None:
        return None
    codes = names.codes[rows].astype(np.int64)
    return np.where(codes < 0, -1 - np.arange(len(codes)), codes)


def _groupings(pair: PairVotes) -> tuple[list[NDArray[np.int64]], str]:
    """Choose the groupings in which something comes up more than once, and name them."""
    groupings, by, single = [], [], []
    for name, labels in (("rater", pair.raters), ("example", pair.examples)):
        if labels is None or len(labels) < 2:
            continue
        distinct = len(np.unique(labels))
        if distinct == 1:
            single.append(f"one {name} only")
        elif distinct < len(labels):
            groupings.append(labels)
            by.append(name)
    method = f"clustered by {' and '.join(by)}" if by else "independent votes"
    return groupings, "; ".join([method, *single])


def _effective_n(
    scores: NDArray[np.float64], groupings: list[NDArray[np.int64]]
) -> tuple[float, float]:
    """Effective number of votes and degrees of freedom."""
    n = len(scores)
    clustered = cluster_variance(scores, groupings=groupings)
    independent = float(scores.var()) / (n - 1)
    if independent == 0.0:
        return min(clustered.n_effective, float(n)), math.inf
    if not clustered.variance > independent:
        return float(n), clustered.df
    return n * independent / clustered.variance, clustered.df
