"""Inference on P(win) − P(loss) from counts of wins, ties and losses.

One score statistic gives the interval, the test of a difference and the tests against a margin, so
that they never contradict each other: the interval holds exactly the values that are not rejected.
Tests against a margin are corrected for continuity, since they must not err more often than they
say, even where votes are few.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from evalcore.errors import InputError
from evalcore.stats.clustering import t_quantile

__all__ = [
    "EffectiveCounts",
    "continuity_step",
    "exact_p_greater",
    "tango_interval",
    "tango_intervals",
    "tango_statistic",
]

_NUISANCE_POINTS = 64
_TIE_TOLERANCE = 1e-9
_HALVINGS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveCounts:
    """Wins, ties and losses as many as independent votes would have to be to know as much."""

    wins: float
    ties: float
    losses: float
    df: float = math.inf
    """Degrees of freedom of the effective number; inf for independent votes."""
    exact: bool = False
    """Whole counts of independent votes, few enough for exact inference."""

    @property
    def n(self) -> float:
        """Effective number of votes."""
        return self.wins + self.ties + self.losses

    def interval(self, level: float = 0.95, *, corrected: bool = False) -> tuple[float, float]:
        """Interval of P(win) − P(loss), in [−1, 1]; (−1, 1) without votes.

        With ``corrected`` its ends are where :meth:`p_greater` and :meth:`p_less` equal
        (1 − level)/2, otherwise where :meth:`p_different` would equal 1 − level.
        """
        if self.exact:
            return _exact_interval(self, level)
        shrink = self.shrinkage(level)
        return tango_interval(
            self.wins * shrink,
            self.losses * shrink,
            self.n * shrink,
            level=level,
            correction=self._half_step * shrink if corrected else 0.0,
        )

    def shrinkage(self, level: float) -> float:
        """Factor on the counts that makes normal intervals as wide as those by Student's t."""
        t = t_quantile(level, self.df)
        return (t_quantile(level, math.inf) / t) ** 2 if math.isfinite(t) else 0.0

    def p_greater(self, difference: float) -> float:
        """One-sided p-value of P(win) − P(loss) ≤ ``difference``; 1 without votes."""
        if self.exact and self.n:
            return exact_p_greater(int(self.wins), int(self.losses), int(self.n), difference)
        return self._p_greater(difference, correction=self._half_step)

    def p_less(self, difference: float) -> float:
        """One-sided p-value of P(win) − P(loss) ≥ ``difference``; 1 without votes."""
        return self.mirrored().p_greater(-difference)

    def p_different(self) -> float:
        """Two-sided p-value of P(win) = P(loss)."""
        if self.exact:
            return min(1.0, 2.0 * min(self.p_greater(0.0), self.p_less(0.0)))
        return min(1.0, 2.0 * min(side._p_greater(0.0) for side in (self, self.mirrored())))

    @property
    def _half_step(self) -> float:
        return continuity_step(self.ties)

    def _p_greater(self, difference: float, *, correction: float = 0.0) -> float:
        if self.n == 0.0 or self.df <= 0.0:
            return 1.0
        statistic = tango_statistic(
            self.wins, self.losses, self.n, difference, correction=correction
        )
        return float(stats.t.sf(float(statistic), self.df))

    def mirrored(self) -> EffectiveCounts:
        """Count from the other model's view."""
        return EffectiveCounts(
            wins=self.losses, ties=self.ties, losses=self.wins, df=self.df, exact=self.exact
        )


def continuity_step(ties: float) -> float:
    """Half the distance between neighbouring values of wins − losses: ½ with ties, 1 without."""
    return 0.5 if ties > 0.0 else 1.0


def tango_statistic(
    wins: ArrayLike,
    losses: ArrayLike,
    n: ArrayLike,
    difference: ArrayLike,
    *,
    correction: float = 0.0,
) -> NDArray[np.float64]:
    """Score statistic of P(win) − P(loss) = ``difference``, standard normal for large n.

    T(Δ) = (b − c − nΔ) / √(n (2 p̃ + Δ − Δ²)), where b and c are wins and losses and p̃ is the
    maximum likelihood estimate of P(loss) given Δ [1]_. At Δ = 0 it is McNemar's
    (b − c) / √(b + c); without ties it is the statistic behind Wilson's interval.

    Parameters
    ----------
    wins, losses
        Counts, of any common shape; need not be whole.
    n
        Votes, ties included, positive; of that shape or one number.
    difference
        In [−1, 1]; of that shape or one number.
    correction
        Taken off |b − c − nΔ|, for continuity: half its step, 1 without ties and ½ with them.

    Returns
    -------
    numpy.ndarray
        Of that shape; 0 where neither the numerator nor the spread is other than 0, as for ties
        only at Δ = 0.

    References
    ----------
    .. [1] Tango (1998), Equivalence test and confidence interval for the difference in proportions
       for the paired-sample design, Statistics in Medicine 17, 891-908, section 3.
    """
    b, c = np.asarray(wins, dtype=float), np.asarray(losses, dtype=float)
    n, difference = np.asarray(n, dtype=float), np.asarray(difference, dtype=float)
    linear = (2.0 * n - b + c) * difference - b - c
    constant = -c * difference * (1.0 - difference)
    loss = (np.sqrt(np.maximum(linear**2 - 8.0 * n * constant, 0.0)) - linear) / (4.0 * n)
    spread = n * np.maximum(2.0 * loss + difference * (1.0 - difference), 0.0)
    excess = b - c - n * difference
    excess = np.sign(excess) * np.maximum(np.abs(excess) - correction, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = excess / np.sqrt(spread)
    return np.where(np.abs(excess) <= _TIE_TOLERANCE * n, 0.0, ratio)


def tango_interval(
    wins: float, losses: float, n: float, *, level: float = 0.95, correction: float = 0.0
) -> tuple[float, float]:
    """Score interval of P(win) − P(loss), where the rest are ties.

    Also the interval of a difference of two proportions on the same n items, of which only
    ``wins + losses`` differ. It holds the Δ with |:func:`tango_statistic`| ≤ z, has a width for
    ties only, too, and without ties is Wilson's interval.

    Parameters
    ----------
    wins, losses
        Counts; need not be whole.
    n
        All votes, ties included, or their effective number; 0 gives (−1, 1).
    level
        Confidence level.
    correction
        As for :func:`tango_statistic`; widens the interval.

    Examples
    --------
    >>> low, high = tango_interval(30, 20, 100)
    >>> round(low, 4), round(high, 4)
    (-0.0391, 0.2352)
    """
    if min(wins, losses) < 0 or wins + losses > n * (1 + _TIE_TOLERANCE):
        raise InputError(f"wins + losses must lie between 0 and n={n}; got {wins} and {losses}")
    z = t_quantile(level, math.inf)
    if n == 0:
        return -1.0, 1.0
    centre = (wins - losses) / n

    def beyond(difference: float) -> float:
        statistic = tango_statistic(wins, losses, n, difference, correction=correction)
        return abs(float(statistic)) - z

    low = centre if centre <= -1.0 else _crossing(beyond, -1.0, centre)
    high = centre if centre >= 1.0 else _crossing(beyond, 1.0, centre)
    return low, high


def tango_intervals(
    wins: NDArray[np.float64],
    losses: NDArray[np.float64],
    n: NDArray[np.float64],
    *,
    level: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends of :func:`tango_interval` for many counts at once.

    Parameters
    ----------
    wins, losses, n
        ``(k,)`` counts; n = 0 gives (−1, 1).
    level
        Confidence level.
    """
    z = t_quantile(level, math.inf)
    low, high = -np.ones(len(n)), np.ones(len(n))
    some = np.flatnonzero(n > 0)
    wins, losses, n = wins[some], losses[some], n[some]
    low[some] = _halved(wins, losses, n, end=-1.0, z=z)
    high[some] = _halved(wins, losses, n, end=1.0, z=z)
    return low, high


def _halved(
    wins: NDArray[np.float64],
    losses: NDArray[np.float64],
    n: NDArray[np.float64],
    *,
    end: float,
    z: float,
) -> NDArray[np.float64]:
    """Halve, until nothing is left, what lies between an end of the scale and the centre."""
    outer, inner = np.full(len(n), end), (wins - losses) / n
    beyond_end = np.abs(tango_statistic(wins, losses, n, end * (1.0 - 1e-9))) > z
    for _ in range(_HALVINGS):
        middle = (outer + inner) / 2.0
        beyond = np.abs(tango_statistic(wins, losses, n, middle)) > z
        outer, inner = np.where(beyond, middle, outer), np.where(beyond, inner, middle)
    return np.where(beyond_end & (end * (wins - losses) < n), inner, end)


def exact_p_greater(wins: int, losses: int, n: int, difference: float) -> float:
    """One-sided p-value of P(win) − P(loss) ≤ ``difference``, without approximation.

    The probability of all outcomes whose :func:`tango_statistic` is at least the observed one, at
    the share of ties that makes it largest (on a grid of 64) [1]_.

    References
    ----------
    .. [1] Chan & Zhang (1999), Test-based exact confidence intervals for the difference of two
       binomial proportions, Biometrics 55, 1202-1209, for two proportions; the same construction.
    """
    b, c = (count.ravel() for count in np.mgrid[0 : n + 1, 0 : n + 1])
    b, c = b[b + c <= n], c[b + c <= n]
    observed = tango_statistic(wins, losses, n, difference)
    extreme = tango_statistic(b, c, n, difference) >= observed - _TIE_TOLERANCE
    b, c = b[extreme], c[extreme]
    loss = np.linspace(max(0.0, -difference), (1.0 - difference) / 2.0, _NUISANCE_POINTS)
    win = np.maximum(loss + difference, 0.0)
    tie = np.maximum(1.0 - win - loss, 0.0)
    ways = special.gammaln(n + 1) - sum(special.gammaln(k + 1) for k in (b, c, n - b - c))
    log_p = special.xlogy(b[:, None], win) + special.xlogy(c[:, None], loss)
    log_p += special.xlogy((n - b - c)[:, None], tie) + ways[:, None]
    return float(min(1.0, np.exp(log_p).sum(axis=0).max()))


def _exact_interval(counts: EffectiveCounts, level: float) -> tuple[float, float]:
    tail = (1.0 - level) / 2.0
    centre = (counts.wins - counts.losses) / counts.n if counts.n else 0.0
    if counts.n == 0.0:
        return -1.0, 1.0
    low = -1.0 if centre <= -1.0 else _crossing(lambda d: tail - counts.p_greater(d), -1.0, centre)
    high = 1.0 if centre >= 1.0 else _crossing(lambda d: tail - counts.p_less(d), 1.0, centre)
    return low, high


def _crossing(beyond: Callable[[float], float], end: float, centre: float) -> float:
    """Find where a function that is positive at ``end`` becomes negative on the way to ``centre``.

    The centre itself is approached but for a hair: for ties only the statistic is 0 / 0 there.
    """
    near = centre + math.copysign(1e-9, end)
    inner = end * (1.0 - 1e-9)
    if beyond(inner) <= 0.0:
        return end
    return float(optimize.brentq(beyond, inner, near, xtol=1e-12))
