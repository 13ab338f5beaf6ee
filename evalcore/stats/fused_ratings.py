"""Ratings by human votes with a judge's help: fewer votes needed, and none of the judge's bias."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evalcore.errors import InputError, VotesError
from evalcore.stats.bradley_terry import PairFit, fit_bradley_terry
from evalcore.stats.clusters import cluster_codes, votes_among
from evalcore.stats.connectivity import connectivity
from evalcore.stats.counts import Counts, count_votes
from evalcore.stats.covariance import ClusteredVotes, Covariance, cluster_covariance
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.rating_scale import CoreEstimate, on_elo_scale, rated_models
from evalcore.stats.verdicts import MatchedVerdicts, match_verdicts
from evalcore.votes.columns import OUTCOME_SCORES, Votes

__all__ = ["FusedRatings", "fuse_ratings"]

_DEFAULT = RatingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedRatings:
    """Ratings from few human votes and many verdicts, beside those from the votes alone."""

    rating: BradleyTerryResult
    human_only: BradleyTerryResult
    """From the same human votes without the judge."""
    tuning: float
    """Weight λ of the judge, from 0 (tells nothing of human votes) to 1."""
    votes_saved: float
    """Share of human votes saved: as precise ratings from votes alone take n/(1 − this); nan where
    votes alone give no interval."""
    n_unjudged: int
    """Human votes left out as the judge has no verdict on their example and pair."""


def fuse_ratings(votes: Votes, options: RatingOptions = _DEFAULT) -> FusedRatings:
    """Rate models as humans would, with the help of a judge.

    Prediction-powered inference with power tuning [1]_ for the Bradley–Terry score. The judge has
    ratings of its own, and what its verdict on one pair of answers adds to them is its surprise
    u = (f − q) · p(1 − p) / q(1 − q), q its expectation and p the humans'. A human vote y counts
    as y − λu: where the judge was surprised a human is likely to be too. Over all answers the
    surprise is 0 on average, so the judge's bias does not enter, if the answers that humans saw
    are a random part of all; a bad judge costs precision and never validity. λ minimises the trace
    of the covariance, within [0, 1].

    Parameters
    ----------
    votes
        With ``rater_kind`` human and judge, and ``example``. Of several verdicts on one example and
        pair the mean counts.
    options
        Clustering of the human votes and scale; ties are half wins.

    Returns
    -------
    FusedRatings

    Raises
    ------
    VotesError
        Without rater kinds or examples, without votes and verdicts on the same answers, or if the
        verdicts on other answers don't rate the models.
    InputError
        For Davidson's ties, ``both_bad`` left out (what the judge would leave out is not what
        humans would), or an unknown anchor.

    References
    ----------
    .. [1] Angelopoulos, Duchi & Zrnic (2023), PPI++: efficient prediction-powered inference,
       arXiv 2311.01453, sec. 4 and 6; u is their f, centred and scaled by pair.
    """
    if options.ties != "half":
        raise InputError(f"ties must be half where votes are fused; got {options.ties!r}")
    if options.both_bad != "tie":
        raise InputError(f"both_bad must be tie where votes are fused; got {options.both_bad!r}")
    matched = match_verdicts(votes)
    counts = count_votes(matched.human)
    graph = rated_models(counts, options)
    pilot = fit_bradley_terry(counts.take(graph.core))
    data = _surprises(matched, options, pilot, core=graph.core)
    tuning = data.tuning(pilot)
    fused = data.fit(tuning)
    covariance, plain = data.covariance(fused, tuning), data.covariance(pilot, 0.0)

    def result(fit: PairFit, spread: Covariance, name: str) -> BradleyTerryResult:
        found = CoreEstimate(
            model=name, strengths=fit.strengths, covariance=spread, clusters=data.clusters_by
        )
        return on_elo_scale(counts, graph, found, options=options)

    half = "Bradley–Terry, ties as half wins"
    of_votes = np.trace(plain.matrix)
    return FusedRatings(
        rating=result(fused, covariance, f"prediction-powered {half}"),
        human_only=result(pilot, plain, half),
        tuning=tuning,
        votes_saved=float(1 - np.trace(covariance.matrix) / of_votes) if plain.df.any() else np.nan,
        n_unjudged=matched.n_unjudged,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surprises:
    """Human votes with the judge's surprise, among m rated models."""

    n_models: int
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    score: NDArray[np.float64]
    """``(n,)`` y."""
    surprise: NDArray[np.float64]
    """``(n,)`` u."""
    clusters: list[NDArray[np.int64]]
    clusters_by: tuple[str, ...]
    elsewhere: ClusteredVotes
    """Verdicts on other answers; their residual is their surprise."""

    def fit(self, tuning: float) -> PairFit:
        """Fit the votes less the judge's surprise times a weight."""
        score = self.score - tuning * self.surprise
        return fit_bradley_terry(_scored_counts(self.a, self.b, score, n_models=self.n_models))

    def tuning(self, pilot: PairFit) -> float:
        """Weight that makes the covariance's trace smallest, within [0, 1]."""
        residual = self.score - _expected(pilot, self.a, self.b)
        bread = pilot.inverse_information @ pilot.inverse_information
        # squared length of each vote's move of the strengths, so that the sums are traces
        length = bread[self.a, self.a] + bread[self.b, self.b] - 2 * bread[self.a, self.b]
        together = float(np.sum(length * residual * self.surprise))
        own = float(np.sum(length * self.surprise**2))
        if not own > 0:
            return 0.0
        more = 1 + len(self.score) / len(self.elsewhere.residual)
        return min(max(together / (more * own), 0.0), 1.0)

    def covariance(self, fit: PairFit, tuning: float) -> Covariance:
        """Sandwich: of the votes less the surprise, and of the verdicts that say what it is."""
        residual = self.score - tuning * self.surprise - _expected(fit, self.a, self.b)
        votes = ClusteredVotes(
            model_a=self.a,
            model_b=self.b,
            residual=residual,
            information=fit.variance[self.a, self.b],
            extra=np.empty((0, len(residual))),
            clusters=self.clusters,
        )
        spread = cluster_covariance(fit.inverse_information, votes)
        if tuning == 0:
            return spread
        weight = tuning * len(self.score) / len(self.elsewhere.residual)
        rest = replace(self.elsewhere, residual=weight * self.elsewhere.residual)
        verdicts = cluster_covariance(fit.inverse_information, rest)
        return Covariance(matrix=spread.matrix + verdicts.matrix, df=spread.df)


def _surprises(
    matched: MatchedVerdicts, options: RatingOptions, pilot: PairFit, *, core: NDArray[np.intp]
) -> _Surprises:
    human, n_models = matched.human, len(core)
    groupings, _ = cluster_codes(human, options.clusters)
    rows, a, b = votes_among(human, core, where=np.ones(len(human), bool))
    place = np.full(len(human.models), -1)
    place[core] = np.arange(n_models)
    low, high = place[matched.low], place[matched.high]
    inside = (low >= 0) & (high >= 0)
    low, high, verdict = low[inside], high[inside], matched.verdict[inside]
    judge = _judge_fit(low, high, verdict, n_models=n_models, source=human.source)
    worth = pilot.variance / judge.variance
    return _Surprises(
        n_models=n_models,
        a=a,
        b=b,
        score=OUTCOME_SCORES[human.winner[rows]],
        surprise=worth[a, b] * (matched.verdict_on_human[rows] - _expected(judge, a, b)),
        clusters=[codes[rows] for codes in groupings.values()] or [np.arange(len(rows))],
        clusters_by=tuple(groupings),
        elsewhere=ClusteredVotes(
            model_a=low,
            model_b=high,
            residual=worth[low, high] * (verdict - _expected(judge, low, high)),
            information=judge.variance[low, high],
            extra=np.empty((0, len(verdict))),
            clusters=[np.arange(len(verdict))],
        ),
    )


def _judge_fit(
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    verdict: NDArray[np.float64],
    *,
    n_models: int,
    source: str,
) -> PairFit:
    counts = _scored_counts(low, high, verdict, n_models=n_models)
    if len(connectivity(counts).core) < n_models:
        raise VotesError(f"fusion needs verdicts that rate every model that humans rate ({source})")
    return fit_bradley_terry(counts)


def _expected(fit: PairFit, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.asarray(expit(fit.strengths[a] - fit.strengths[b]))


def _scored_counts(
    a: NDArray[np.intp], b: NDArray[np.intp], score: NDArray[np.float64], *, n_models: int
) -> Counts:
    """Count scores as shares of wins."""
    won = np.zeros((n_models, n_models))
    np.add.at(won, (a, b), score)
    np.add.at(won, (b, a), 1 - score)
    none = np.zeros_like(won)
    names = tuple(map(str, range(n_models)))
    return Counts(models=names, wins=won, ties=none, win_squares=none, tie_squares=none)
