"""Attacks and careless votes: what looks wrong, and what the ranks would be without it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.counts import count_votes
from evalcore.stats.quality_checks import (
    OutlierRater,
    RaterShare,
    burst_votes,
    dominating_raters,
    fast_votes,
    outlier_raters,
    votes_by,
)
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.ratings import rate_votes
from evalcore.stats.style import rate_at_equal_style
from evalcore.votes.columns import Votes

__all__ = ["QualityReport", "RankChange", "Suspicion", "check_votes"]

_DEFAULT = RatingOptions()

Check = Literal["outlier raters", "dominating raters", "bursts", "fast votes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankChange:
    """A model whose rank depends on the votes in question."""

    model: str
    rank_with: int
    rank_without: int
    """0 if it has no rank without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """One check: the votes that it marks and what they do to the ranks."""

    check: Check
    rows: NDArray[np.bool_]
    """``(n,)`` True for the votes in question."""
    changes: tuple[RankChange, ...] | None
    """Models whose rank differs without them, best first; None where nothing is left to rate."""

    @property
    def n_votes(self) -> int:
        """Count the votes in question."""
        return int(self.rows.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """Everything that was found."""

    dominating: tuple[RaterShare, ...]
    outliers: tuple[OutlierRater, ...]
    suspicions: tuple[Suspicion, ...]
    """One for each check that marked any vote."""
    position: Estimate | None
    """Log-odds that being shown first adds; None where no pair was shown in both orders, and where
    the votes give no interval."""
    position_changes: tuple[RankChange, ...]
    """Models whose rank differs with the place of the answer held equal."""


def check_votes(
    votes: Votes,
    options: RatingOptions = _DEFAULT,
    *,
    alpha: float = 0.01,
    dominating_share: float = 0.1,
) -> QualityReport:
    """Look for outlier and dominating raters, bursts, fast votes and a preferred place.

    Parameters
    ----------
    votes
        At least one; checks that need raters, examples or times that are not given find nothing.
    options
        How the votes are rated.
    alpha
        Probability that any honest rater is called an outlier.
    dominating_share
        Share of the votes from which a rater dominates.

    Returns
    -------
    QualityReport
    """
    rating = rate_votes(votes, options)
    dominating = dominating_raters(votes, share=dominating_share)
    outliers = outlier_raters(votes, rating, alpha=alpha)
    marked: dict[Check, NDArray[np.bool_]] = {
        "bursts": burst_votes(votes),
        "fast votes": fast_votes(votes),
    }
    if votes.rater is not None:
        marked["outlier raters"] = votes_by(votes.rater, [one.rater for one in outliers])
        marked["dominating raters"] = votes_by(votes.rater, [one.rater for one in dominating])
    position, position_changes = _position(votes, options, rating)
    return QualityReport(
        dominating=dominating,
        outliers=outliers,
        suspicions=tuple(
            Suspicion(check=check, rows=rows, changes=_without(votes, rows, options, rating))
            for check, rows in marked.items()
            if rows.any()
        ),
        position=position,
        position_changes=position_changes,
    )


def _without(
    votes: Votes, rows: NDArray[np.bool_], options: RatingOptions, rating: BradleyTerryResult
) -> tuple[RankChange, ...] | None:
    rest = votes.take(~rows)
    if not count_votes(rest, both_bad=options.both_bad).n_votes:
        return None
    return _changes(rating, rate_votes(rest, options))


def _changes(before: BradleyTerryResult, after: BradleyTerryResult) -> tuple[RankChange, ...]:
    pairs = zip(before.models, before.ranks.tolist(), after.ranks.tolist(), strict=True)
    return tuple(
        RankChange(model=model, rank_with=with_them, rank_without=without)
        for model, with_them, without in sorted(pairs, key=lambda row: row[1])
        if with_them != without
    )


def _position(
    votes: Votes, options: RatingOptions, rating: BradleyTerryResult
) -> tuple[Estimate | None, tuple[RankChange, ...]]:
    """Rate with the place held equal, as if it were a feature of style."""
    a_first = np.ones(len(votes), bool) if votes.swapped is None else votes.swapped == 0
    known = np.ones(len(votes), bool) if votes.swapped is None else votes.swapped >= 0
    if not _both_orders(votes, a_first, known):
        return None, ()
    first = np.column_stack([a_first, ~a_first]).astype(np.float64)
    placed = replace(votes, features={"first": first}).take(known)
    try:
        result = rate_at_equal_style(placed, ("first",), replace(options, ties="half"))
    except InputError:
        return None, ()
    level = result.coefficient("first")
    if math.isnan(level.low):
        return None, ()
    return level, _changes(rating, result.rating)


def _both_orders(votes: Votes, a_first: NDArray[np.bool_], known: NDArray[np.bool_]) -> bool:
    n_models = len(votes.models)
    low, high = np.minimum(votes.model_a, votes.model_b), np.maximum(votes.model_a, votes.model_b)
    low_first = a_first == (votes.model_a < votes.model_b)
    pair = low.astype(np.int64) * n_models + high
    one = np.unique(pair[known & low_first])
    other = np.unique(pair[known & ~low_first])
    return bool(np.isin(one, other).any())
