"""Human votes and a judge's verdicts together: the judge saves votes, the humans keep it honest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalcore.errors import InputError, VotesError
from evalcore.records import Estimate
from evalcore.stats.clustering import ClusterVariance, cluster_variance
from evalcore.stats.intervals import mean_estimate, share_interval
from evalcore.stats.win_rate import PairVotes, win_rate

if TYPE_CHECKING:
    from evalcore.votes import Votes

__all__ = ["FusedWinRate", "JudgedVotes", "fused_win_rate"]


_LEAST_VARIANCE = 1e-20  # below it there is nothing but rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedVotes:
    """Scores of the first of two models: 1 win, 0.5 tie, 0 loss, or a judge's probability."""

    human: NDArray[np.float64]
    """Human votes, shape (n,)."""
    judge: NDArray[np.float64]
    """The judge's score of the same examples, shape (n,)."""
    judge_alone: NDArray[np.float64]
    """The judge's scores of further examples without human votes, shape (n_judged,)."""
    examples: NDArray[np.int64] | None = None
    """What the human votes are on, shape (n,); None: each on another example."""
    n_unjudged: int = 0
    """Human votes left out as the judge has no verdict on their example."""

    @classmethod
    def from_votes(cls, votes: Votes, model_a: str, model_b: str) -> JudgedVotes:
        """Bring together the human votes and the judges' verdicts on two models.

        Of several verdicts on an example, such as in both orders, the mean counts.

        Raises
        ------
        VotesError
            Without ``rater_kind`` or ``example_id``, or for unknown models.
        """
        if votes.rater_kind is None or votes.example is None:
            raise VotesError(f"fusion needs rater_kind and example_id ({votes.source})")
        kinds = np.array([*votes.rater_kind.names, ""])[votes.rater_kind.codes]
        known = votes.example.codes >= 0
        human, judge = (
            PairVotes.from_votes(votes.take(known & (kinds == kind)), model_a, model_b)
            for kind in ("human", "judge")
        )
        if human.examples is None or judge.examples is None:
            raise VotesError(f"fusion needs example_id ({votes.source})")
        n_verdicts = np.bincount(judge.examples, minlength=len(votes.example.names))
        sums = np.bincount(judge.examples, judge.scores, minlength=len(n_verdicts))
        judged = n_verdicts[human.examples] > 0
        voted = np.bincount(human.examples, minlength=len(n_verdicts)) > 0
        mean = sums / np.maximum(n_verdicts, 1)
        return cls(
            human=human.scores[judged],
            judge=mean[human.examples[judged]],
            judge_alone=mean[(n_verdicts > 0) & ~voted],
            examples=human.examples[judged],
            n_unjudged=int((~judged).sum()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedWinRate:
    """A win rate from few human votes and many verdicts, beside those from either alone."""

    estimate: Estimate
    human_only: Estimate
    judge_only: Estimate
    """Of the judge's taste: its interval says nothing of how humans would vote."""
    tuning: float
    """Weight λ of the judge; 0 if it tells nothing of human votes."""
    votes_saved: float
    """Share of human votes saved: as precise an estimate from votes alone takes n/(1 − this); nan
    where the variance of the votes alone is unknown, or 0."""


def fused_win_rate(data: JudgedVotes, *, level: float = 0.95, seed: int = 0) -> FusedWinRate:
    """Estimate how often humans prefer the first model, with the help of a judge.

    Prediction-powered inference with power tuning [1]_: θ̂ = ȳ + λ (f̄' − f̄) with human votes y,
    verdicts f on the same examples and f' on N others, and
    λ = Cov(y, f) / ((1 + n/N) Var(f)). V = V(y − λf) + λ² V(f') + λ²/n²: the first clustered by
    example (:func:`~evalcore.stats.clustering.cluster_variance`), with one degree of freedom less
    for λ; the last for one more vote at odds with the judge, since few votes may by chance show
    none. The interval is :func:`~evalcore.stats.intervals.share_interval`. A biased judge costs
    precision and never validity.

    Parameters
    ----------
    data
        Votes and verdicts; the examples judged alone must be drawn like those with human votes.
    level
        Confidence level.
    seed
        Of the bootstrap of the verdicts alone.

    Returns
    -------
    FusedWinRate
        Without further verdicts, or where verdicts don't vary, λ is 0 and the estimate that of the
        human votes; nan without human votes, however many verdicts there are.

    References
    ----------
    .. [1] Angelopoulos, Duchi & Zrnic (2023), PPI++: efficient prediction-powered inference,
       arXiv 2311.01453, example 6.1 and section 6.
    """
    human, judge = _scores("human", data.human), _scores("judge", data.judge)
    alone = _scores("judge_alone", data.judge_alone)
    if len(human) != len(judge):
        raise InputError(f"human and judge must be equally many; got {len(human)} and {len(judge)}")
    groupings = () if data.examples is None else (data.examples,)
    plain = win_rate(PairVotes(scores=human, examples=data.examples), level=level).estimate
    judged = mean_estimate(
        np.concatenate([judge, alone]), level=level, seed=seed, bounds=(0.0, 1.0)
    )
    tuning = _tuning(human, judge, alone)
    if tuning == 0.0:
        return FusedWinRate(
            estimate=plain, human_only=plain, judge_only=judged, tuning=0.0, votes_saved=0.0
        )
    value = float((human - tuning * judge).mean() + tuning * alone.mean())
    spread = _sum(
        cluster_variance(human - tuning * judge, groupings=groupings),
        cluster_variance(tuning * alone),
        further=(tuning / len(human)) ** 2,
    )
    low, high = share_interval(value, spread.variance, df=spread.df, level=level)
    of_votes = cluster_variance(human, groupings=groupings).variance
    saved = 1.0 - spread.variance / of_votes if of_votes > _LEAST_VARIANCE else math.nan
    return FusedWinRate(
        estimate=Estimate(
            value=min(max(value, 0.0), 1.0),
            low=low,
            high=high,
            confidence_level=level,
            method="prediction-powered",
            n=len(human),
            n_unscored=data.n_unjudged,
        ),
        human_only=plain,
        judge_only=judged,
        tuning=tuning,
        votes_saved=saved,
    )


def _scores(name: str, values: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=float).reshape(-1)
    if not np.all((scores >= 0.0) & (scores <= 1.0)):
        raise InputError(f"{name} must lie between 0 and 1")
    return scores


def _tuning(
    human: NDArray[np.float64], judge: NDArray[np.float64], alone: NDArray[np.float64]
) -> float:
    if len(human) < 3 or len(alone) < 2:
        return 0.0
    spread = float(np.concatenate([judge, alone]).var(ddof=1))
    if spread == 0.0:
        return 0.0
    together = float(np.cov(human, judge)[0, 1])
    return together / ((1.0 + len(human) / len(alone)) * spread)


def _sum(first: ClusterVariance, second: ClusterVariance, *, further: float) -> ClusterVariance:
    """Variance of a sum of independent estimates, the first with one fitted coefficient."""
    df = first.df - 1.0
    if not df > 0.0:
        return ClusterVariance(variance=math.nan, n_effective=first.n_effective, df=0.0)
    own = first.variance * first.df / df + further
    variance = own + second.variance
    return ClusterVariance(
        variance=variance,
        n_effective=first.n_effective,
        df=variance**2 / (own**2 / df + second.variance**2 / second.df),
    )
