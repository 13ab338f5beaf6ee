"""Find votes that look wrong: by whom, how often, how fast, and in which place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from evalcore.stats.clusters import votes_among
from evalcore.stats.rating_result import POINTS, BradleyTerryResult
from evalcore.votes.columns import OUTCOME_SCORES, Categories, Votes

__all__ = [
    "OutlierRater",
    "RaterShare",
    "burst_votes",
    "dominating_raters",
    "fast_votes",
    "outlier_raters",
    "votes_by",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterShare:
    """How much of the votes one rater cast."""

    rater: str
    n_votes: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierRater:
    """A rater whose votes the ratings don't explain."""

    rater: str
    n_votes: int
    consensus_z: float
    """Agreement with the ratings beyond expectation; far below 0 for votes against them."""
    favourite: str
    """Model whose score the rater moved furthest from expectation."""
    favourite_z: float
    """By how much, in standard deviations; above 0 in its favour."""
    p_value: float
    """Of the larger of the two, corrected for all raters and models looked at."""


def dominating_raters(votes: Votes, *, share: float = 0.1) -> tuple[RaterShare, ...]:
    """Raters who cast more than a share of the votes, most first; none where raters are unknown.

    Examples
    --------
    >>> columns = {"model_a": ["x"] * 4, "model_b": ["y"] * 4, "winner": ["tie"] * 4}
    >>> votes = Votes.from_columns({**columns, "rater": ["a", "a", "a", "b"]})
    >>> [found.rater for found in dominating_raters(votes, share=0.5)]
    ['a']
    """
    if votes.rater is None:
        return ()
    n_each = np.bincount(votes.rater.codes + 1, minlength=len(votes.rater.names) + 1)[1:]
    order = np.argsort(-n_each, kind="stable")
    return tuple(
        RaterShare(rater=votes.rater.names[r], n_votes=int(n_each[r]), share=n_each[r] / len(votes))
        for r in order
        if n_each[r] > share * len(votes)
    )


def outlier_raters(
    votes: Votes, rating: BradleyTerryResult, *, alpha: float = 0.01, min_votes: int = 10
) -> tuple[OutlierRater, ...]:
    """Find raters who vote against the ratings, or for one model.

    With residuals y − p of a rater's votes, the agreement is z = Σ (y − p)(p − ½) over its standard
    deviation, and a model's favour z = Σ ±(y − p) over its standard deviation. Tastes differ among
    honest raters too: each kind of z is divided by its spread over all raters (from the median of
    z², if that is more than 1), so that only raters unlike the others stand out.

    Parameters
    ----------
    votes
        Any number; without raters nothing is found.
    rating
        Ratings by these votes.
    alpha
        Probability that any honest rater is named.
    min_votes
        Raters with fewer are not looked at.

    Returns
    -------
    tuple of OutlierRater
        Least likely first.
    """
    if votes.rater is None:
        return ()
    found = _residuals(votes, votes.rater, rating)
    looked_at = np.bincount(found.rater, minlength=found.n_raters) >= min_votes
    consensus = _consensus(found, looked_at)
    favour = _favour(found, looked_at)
    furthest = np.argmax(np.abs(favour), axis=1)
    strongest = favour[np.arange(found.n_raters), furthest]
    n_tests = int(looked_at.sum()) * (1 + len(found.models))
    p_values = 2 * stats.norm.sf(np.maximum(np.abs(strongest), np.abs(consensus))) * n_tests
    named = np.flatnonzero(looked_at & (p_values < alpha))
    return tuple(
        OutlierRater(
            rater=votes.rater.names[r],
            n_votes=int(np.sum(found.rater == r)),
            consensus_z=float(consensus[r]),
            favourite=rating.models[int(found.models[furthest[r]])],
            favourite_z=float(strongest[r]),
            p_value=float(p_values[r]),
        )
        for r in named[np.argsort(p_values[named], kind="stable")]
    )


def burst_votes(votes: Votes, *, within_s: float = 60.0) -> NDArray[np.bool_]:
    """Mark votes that repeat an earlier one: same rater, example, pair of models and outcome.

    Where times are given, a vote repeats only one that was cast at most ``within_s`` before it;
    where examples are not given, times must be.

    Returns
    -------
    NDArray
        ``(n,)`` True for each repeated vote but the first of its burst; all False where raters, or
        both examples and times, are unknown.
    """
    repeated = np.zeros(len(votes), bool)
    if votes.rater is None or (votes.example is None and votes.created_s is None):
        return repeated
    swap = votes.model_a > votes.model_b
    outcome = np.minimum(votes.winner, 2).astype(np.int64)
    outcome = np.where(swap & (outcome < 2), 1 - outcome, outcome)
    keys = [
        votes.rater.codes,
        np.minimum(votes.model_a, votes.model_b),
        np.maximum(votes.model_a, votes.model_b),
        outcome,
        *([] if votes.example is None else [votes.example.codes]),
    ]
    time = np.zeros(len(votes)) if votes.created_s is None else votes.created_s
    order = np.lexsort((time, *keys))
    same = np.all([np.diff(key[order].astype(np.int64)) == 0 for key in keys], axis=0)
    same &= (votes.rater.codes[order][1:] >= 0) & (np.diff(time[order]) <= within_s)
    repeated[order[1:][same]] = True
    return repeated


def fast_votes(votes: Votes, *, least_s: float = 2.0) -> NDArray[np.bool_]:
    """Mark votes cast less than ``least_s`` after the same rater's previous one.

    Returns
    -------
    NDArray
        ``(n,)``; all False where raters or times are unknown.
    """
    fast = np.zeros(len(votes), bool)
    if votes.rater is None or votes.created_s is None:
        return fast
    order = np.lexsort((votes.created_s, votes.rater.codes))
    rater = votes.rater.codes[order]
    soon = (np.diff(votes.created_s[order]) < least_s) & (np.diff(rater) == 0) & (rater[1:] >= 0)
    fast[order[1:][soon]] = True
    return fast


def votes_by(raters: Categories, names: Iterable[str]) -> NDArray[np.bool_]:
    """Mark the votes of some raters, ``(n,)``."""
    wanted = [raters.names.index(name) for name in names]
    return np.isin(raters.codes, wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Residuals:
    """Votes with a rater, among the models with a finite rating."""

    models: NDArray[np.intp]
    """``(m,)`` positions of those models."""
    n_raters: int
    rater: NDArray[np.int32]
    a: NDArray[np.intp]
    b: NDArray[np.intp]
    expected: NDArray[np.float64]
    residual: NDArray[np.float64]
    variance: NDArray[np.float64]
    """Mean squared residual of the vote's pair: ties make it smaller than p (1 − p)."""


def _residuals(votes: Votes, raters: Categories, rating: BradleyTerryResult) -> _Residuals:
    models = np.flatnonzero(np.isfinite(rating.ratings))
    rows, a, b = votes_among(votes, models, where=raters.codes >= 0)
    points = rating.ratings[models]
    expected = expit((points[a] - points[b]) / POINTS)
    residual = OUTCOME_SCORES[votes.winner[rows]] - expected
    pair = np.minimum(a, b) * len(models) + np.maximum(a, b)
    n_pairs = len(models) ** 2
    spread = _sums(pair, residual**2, n_pairs) / np.maximum(np.bincount(pair, minlength=n_pairs), 1)
    return _Residuals(
        models=models,
        n_raters=len(raters.names),
        rater=raters.codes[rows],
        a=a,
        b=b,
        expected=expected,
        residual=residual,
        variance=spread[pair],
    )


def _consensus(found: _Residuals, looked_at: NDArray[np.bool_]) -> NDArray[np.float64]:
    lean = found.expected - 0.5
    return _z(
        _sums(found.rater, found.residual * lean, found.n_raters),
        _sums(found.rater, found.variance * lean**2, found.n_raters),
        looked_at,
    )


def _favour(found: _Residuals, looked_at: NDArray[np.bool_]) -> NDArray[np.float64]:
    """By rater and model, how far its score is from expectation."""
    shape = found.n_raters, len(found.models)
    size = shape[0] * shape[1]
    at_a, at_b = found.rater * shape[1] + found.a, found.rater * shape[1] + found.b
    total = _sums(at_a, found.residual, size) - _sums(at_b, found.residual, size)
    variance = _sums(at_a, found.variance, size) + _sums(at_b, found.variance, size)
    return _z(total.reshape(shape), variance.reshape(shape), looked_at[:, None])


def _sums(codes: NDArray[Any], values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.bincount(codes, values, size).astype(np.float64)


def _z(
    total: NDArray[np.float64], variance: NDArray[np.float64], looked_at: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Standardise sums, and shrink them by how much all raters spread beyond expectation."""
    usable = looked_at & (variance > 0)
    z = np.where(usable, total / np.sqrt(np.where(usable, variance, 1.0)), 0.0)
    if not usable.any():
        return z
    excess = np.median(z[usable] ** 2) / stats.chi2.ppf(0.5, 1)
    return np.asarray(z / np.sqrt(max(excess, 1.0)))
