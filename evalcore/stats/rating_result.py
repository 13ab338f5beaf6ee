"""Ratings with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import expit, log_expit

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.likely_ranks import likely_ranks
from evalcore.stats.ranks import competition_ranks, rank_bounds

__all__ = ["POINTS", "BradleyTerryResult", "Interval", "RankInterval", "Unbounded"]

POINTS = 400 / np.log(10)
"""Elo points per unit of log-odds: 400 points are odds of 10 to 1."""


class Interval(NamedTuple):
    """Lower and upper ends, each ``(n_models,)``."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


class RankInterval(NamedTuple):
    """Best and worst rank, each ``(n_models,)``; 0 for unrated."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbounded:
    """A model that won all, or lost all, of its battles with rated models."""

    model: int
    """Position among the models."""
    sign: int
    """1 for wins, -1 for losses."""
    opponents: NDArray[np.float64]
    """``(k,)`` ratings of the rated models it met; empty if it is joined to them by others only."""
    n_battles: NDArray[np.float64]
    """``(k,)`` battles with each."""

    def bound(self, level: float) -> float:
        """Rating at which so many wins (losses) in a row have probability 1 − level.

        The battles count as independent and the opponents' ratings as known. ∓∞ with no opponent.
        """
        if not len(self.opponents):
            return -self.sign * float("inf")

        def excess(rating: float) -> float:
            logs = log_expit(self.sign * (rating - self.opponents) / POINTS)
            return float(self.n_battles @ logs) - float(np.log1p(-level))

        reach = 400 * (10 + np.log10(self.n_battles.sum() + 1))
        ends = self.opponents.min() - reach, self.opponents.max() + reach
        return float(optimize.brentq(excess, *ends, xtol=1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class BradleyTerryResult:
    """Ratings of m models on the Elo scale."""

    models: tuple[str, ...]
    ratings: NDArray[np.float64]
    """``(m,)``; ±inf with wins (losses) alone, nan if not comparable with the rated models."""
    covariance: NDArray[np.float64]
    """``(m, m)`` of the ratings, in squared points; nan for models without a finite rating."""
    df: NDArray[np.float64]
    """``(m,)`` degrees of freedom of the variances; 0 where the votes give no interval."""
    anchor: str | None
    """Model whose rating is fixed by definition; its covariances are 0."""
    n_comparisons: NDArray[np.float64]
    """``(m,)`` votes on each model, or their weight."""
    n_votes: float
    """Votes in all, or their weight."""
    method: str
    """Model and kind of covariance."""
    scale: str
    """What a point means and where the zero lies."""
    nu: float | None
    """Davidson's tie parameter; None where ties are half wins."""
    unbounded: tuple[Unbounded, ...]
    """The infinite ratings."""
    warnings: tuple[str, ...]
    """What the votes can't tell, by name."""

    @property
    def without_interval(self) -> tuple[str, ...]:
        """Models with a finite rating of which the votes give no interval, the anchor left out."""
        unknown = np.isfinite(self.ratings) & np.isnan(self._half_widths(0.95))
        return tuple(
            self.models[i] for i in np.flatnonzero(unknown) if self.models[i] != self.anchor
        )

    @property
    def ranks(self) -> NDArray[np.int64]:
        """``(m,)`` 1 is best, equal ratings share a rank, 0 is for unrated models."""
        return competition_ranks(self.ratings)

    def confidence_interval(self, level: float = 0.95) -> Interval:
        """Interval of each rating, by Student's t.

        An infinite rating has a one-sided interval at the same level. Where the votes give no
        interval, as with ties alone or with a single rater, both ends are nan; so are the anchor's,
        whose rating is no estimate.

        Raises
        ------
        InputError
            For a level outside (0, 1).
        """
        _check_level(level)
        half = self._half_widths(level)
        low, high = self.ratings - half, self.ratings + half
        for model in self.unbounded:
            ends = (model.bound(level), np.inf) if model.sign > 0 else (-np.inf, model.bound(level))
            low[model.model], high[model.model] = ends
        return Interval(low, high)

    def rank_interval(
        self,
        level: float = 0.95,
        *,
        simultaneous: bool = False,
        n_draws: int = 1000,
        seed: int = 0,
    ) -> RankInterval:
        """Ranks that the votes leave likely, or with ``simultaneous`` those they do not rule out.

        The first, :func:`~evalcore.stats.likely_ranks.likely_ranks`, hold about the level's share
        of the models' true ranks. The second, :func:`~evalcore.stats.ranks.rank_bounds`, hold each
        model's with at least the level's probability, however close models are, and are wider.

        An infinite rating counts as better than another one where its one-sided bound lies beyond
        the other's interval.

        Raises
        ------
        InputError
            For a level outside (0, 1).
        """
        _check_level(level)
        finite = np.flatnonzero(np.isfinite(self.ratings))
        low = np.zeros(len(self.models), np.int64)
        high = np.zeros(len(self.models), np.int64)
        ranks = rank_bounds if simultaneous else likely_ranks
        low[finite], high[finite] = ranks(
            self.ratings[finite],
            self.covariance[np.ix_(finite, finite)],
            level,
            df=self.df[finite],
            n_draws=n_draws,
            rng=np.random.default_rng(seed),
        )
        return self._with_unbounded(low, high, level=level)

    def win_probability(self, model_a: str, model_b: str) -> float:
        """Return A's expected score against B, a tie counting one half; nan if not comparable."""
        a, b = self._position(model_a), self._position(model_b)
        if self.ratings[a] == self.ratings[b]:
            return 0.5 if np.isfinite(self.ratings[a]) else float("nan")
        odds = (self.ratings[a] - self.ratings[b]) / POINTS
        if self.nu is None or not np.isfinite(odds):
            return float(expit(odds))
        total = np.logaddexp(np.logaddexp(odds / 2, -odds / 2), np.log(self.nu))
        return float(np.exp(odds / 2 - total) + self.nu * np.exp(-total) / 2)

    def difference(self, model_a: str, model_b: str, *, level: float = 0.95) -> Estimate:
        """How many points A is ahead of B, with its interval.

        Where the votes give no interval both ends are nan, as they are for infinite ratings; of two
        infinite ratings with the same sign, or of a model without one, so is the value.
        """
        _check_level(level)
        a, b = self._position(model_a), self._position(model_b)
        with np.errstate(invalid="ignore"):  # ∞ − ∞
            value = float(self.ratings[a] - self.ratings[b])
        cov = self.covariance
        variance = np.asarray(cov[a, a] + cov[b, b] - 2 * cov[a, b])
        half = float(self._half_width(variance, np.minimum(self.df[a], self.df[b]), level))
        return Estimate(
            value=value,
            low=value - half,
            high=value + half,
            confidence_level=level,
            method=self.method,
            n=int(min(self.n_comparisons[a], self.n_comparisons[b])),
        )

    def _half_widths(self, level: float) -> NDArray[np.float64]:
        df = self.df
        if self.anchor is not None:
            zero = self._position(self.anchor)
            df = np.where(np.arange(len(df)) == zero, 0.0, np.minimum(df, df[zero]))
        return self._half_width(np.diagonal(self.covariance), df, level)

    def _half_width(
        self, variance: NDArray[np.float64], df: NDArray[np.float64], level: float
    ) -> NDArray[np.float64]:
        """Half of an interval; nan where the variance is unknown, or 0 but for rounding."""
        least = 1e-12 * np.nanmax(np.diagonal(self.covariance))
        known = (variance > least) & (df > 0)
        half = stats.t.ppf((1 + level) / 2, np.where(known, df, 1.0))
        half = half * np.sqrt(np.where(known, variance, np.nan))
        return np.where(np.isfinite(half), half, np.nan)  # from next to one cluster t is infinite

    def _with_unbounded(
        self, low: NDArray[np.int64], high: NDArray[np.int64], *, level: float
    ) -> RankInterval:
        interval = self.confidence_interval(level)
        if np.sum(np.isfinite(self.ratings)) == 1:  # it stands for the scale: a point
            interval = Interval(*(np.where(np.isnan(x), self.ratings, x) for x in interval))
        n_above = sum(model.sign > 0 for model in self.unbounded)
        n_rated = int(np.sum(~np.isnan(self.ratings)))
        finite = np.isfinite(self.ratings)
        high[finite] += n_above
        for model in self.unbounded:
            at = model.model
            if model.sign > 0:
                beaten = finite & (interval.high < interval.low[at])
                low[beaten] += 1
                low[at], high[at] = 1, n_rated - int(np.sum(beaten))
            else:
                winners = finite & (interval.low > interval.high[at])
                high[finite & ~winners] += 1
                low[at], high[at] = 1 + int(np.sum(winners)), n_rated
        return RankInterval(low, high)

    def _position(self, model: str) -> int:
        if model not in self.models:
            raise InputError(f"model must be one of {', '.join(self.models)}; got {model!r}")
        return self.models.index(model)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1; got {level}")
