"""Win rate against a baseline with the effect of answer length taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.intervals import share_interval, unanimous_interval

__all__ = [
    "BaselineWinRate",
    "LengthControlledWinRate",
    "LengthData",
    "baseline_win_rate",
    "length_controlled_win_rate",
]

_NEWTON_STEPS = 100
_LEAST_EVENTS = 5.0
_COEFFICIENTS = 3
_NEWTON_TOLERANCE = 1e-16


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineWinRate:
    """Plain win rate against a baseline, in the manner of AlpacaEval."""

    win_rate: float
    """Mean preference, in [0, 1]."""
    standard_error: float
    """sd / √n with n − 1 in the standard deviation; nan for n < 2."""
    discrete_win_rate: float
    """Share of wins, a draw counting half."""
    n_wins: int
    """Preferences above one half."""
    n_wins_base: int
    """Preferences below one half."""
    n_draws: int
    """Preferences of exactly one half."""
    n_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthData:
    """A model's preferences against a baseline, one row for each instruction."""

    preferences: NDArray[np.float64]
    """The judge's probability that the model's answer is better, in [0, 1]; shape (n,)."""
    tanh_length: NDArray[np.float64]
    """tanh((baseline's length − model's length) / sd of that difference), shape (n,)."""
    difficulty: NDArray[np.float64]
    """How hard the instruction is for models in general, shape (n,); zeros where not known."""
    weight: float = 1.0
    """Of each row; 0.1 for each of the two rewritten baselines that regularise the fit."""

    @classmethod
    def from_lengths(
        cls,
        preferences: NDArray[np.float64],
        model_lengths: NDArray[np.float64],
        baseline_lengths: NDArray[np.float64],
        *,
        difficulty: NDArray[np.float64] | None = None,
    ) -> LengthData:
        """Scale the difference of lengths by its standard deviation, and squash it."""
        difference = np.asarray(baseline_lengths, dtype=float) - model_lengths
        spread = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
        return cls(
            preferences=np.asarray(preferences, dtype=float),
            tanh_length=np.tanh(difference / spread) if spread > 0.0 else np.zeros(len(difference)),
            difficulty=np.zeros(len(difference)) if difficulty is None else difficulty,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthControlledWinRate:
    """What the win rate would be if both models' answers were equally long."""

    estimate: Estimate
    """With an interval for the sampling of instructions and the error of the fit."""
    published_standard_error: float
    """As AlpacaEval gives it: the spread of the fitted values over instructions, no more."""
    length_effect: float
    """Coefficient of the squashed length difference."""
    difficulty_effect: float
    model_effect: float
    """Logit of the win rate at equal length and difficulty 0."""


def baseline_win_rate(preferences: NDArray[np.float64]) -> BaselineWinRate:
    """Sum up preferences against a baseline.

    Parameters
    ----------
    preferences
        Probabilities in [0, 1] that the model's answer is better, shape (n,); one half is a draw.
        What could not be judged must be left out beforehand.

    Returns
    -------
    BaselineWinRate
        Rates nan for n = 0.
    """
    observed = _in_unit_range(preferences)
    n = len(observed)
    wins, draws = int(np.sum(observed > 0.5)), int(np.sum(observed == 0.5))
    return BaselineWinRate(
        win_rate=float(observed.mean()) if n else math.nan,
        standard_error=float(observed.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan,
        discrete_win_rate=(wins + draws / 2.0) / n if n else math.nan,
        n_wins=wins,
        n_wins_base=n - wins - draws,
        n_draws=draws,
        n_total=n,
    )


def length_controlled_win_rate(
    data: LengthData,
    *,
    regularisation: LengthData | None = None,
    difficulties: NDArray[np.float64] | None = None,
    level: float = 0.95,
) -> LengthControlledWinRate:
    """Estimate the win rate at equal length, in the manner of AlpacaEval 2.

    A logistic regression logit P = a·tanh(z) + g·d + t of preferences on length difference z and
    difficulty d, and then the mean of the fitted probabilities with z set to 0 [1]_. Here it is
    plain maximum likelihood, without the L1 penalty chosen by cross-validation; rows that
    regularise, if given, have no t.

    The interval is by the influence function of the mean fitted probability, which holds both the
    error of the coefficients and the draw of instructions, put into
    :func:`~evalcore.stats.intervals.share_interval`. The published standard error leaves the
    coefficients' error out.

    Parameters
    ----------
    data
        Preferences, shape (n,).
    regularisation
        Preferences of rewritten baselines, which hold the length effect down for models that are
        always longer or shorter than the baseline.
    difficulties
        Of the instructions to average over; those of ``data`` if not given.
    level
        Confidence level.

    Returns
    -------
    LengthControlledWinRate
        With the interval [0, 1] where wins or losses sum to less than 5: too few for a regression.

    Raises
    ------
    InputError
        Without preferences.

    References
    ----------
    .. [1] Dubois, Galambosi, Liang & Hashimoto (2024), Length-controlled AlpacaEval: a simple way
       to debias automatic evaluators, arXiv 2404.04475, section 3.
    """
    observed = _in_unit_range(data.preferences)
    if len(observed) == 0:
        raise InputError("there must be at least one preference")
    own = np.column_stack([data.tanh_length, data.difficulty, np.ones(len(observed))])
    rows = _Rows(design=own, target=observed, weight=np.full(len(observed), data.weight))
    everything = rows if regularisation is None else rows.with_further(regularisation)
    coefficients, covariance = _fit(everything)
    over = data.difficulty if difficulties is None else np.asarray(difficulties, dtype=float)
    equal = np.column_stack([np.zeros(len(over)), over, np.ones(len(over))])
    fitted = special.expit(equal @ coefficients)
    value = float(fitted.mean())
    gradient = (fitted * (1.0 - fitted)) @ equal / len(fitted)
    residual = rows.weight * (observed - special.expit(own @ coefficients))
    influence = len(own) * residual * (own @ (covariance @ gradient))
    at_equal_length = special.expit(own @ coefficients - coefficients[0] * own[:, 0])
    influence = influence + at_equal_length - at_equal_length.mean()
    low, high = _interval(value, influence, observed, level=level)
    return LengthControlledWinRate(
        estimate=Estimate(
            value=value,
            low=low,
            high=high,
            confidence_level=level,
            method="length-controlled, influence function",
            n=len(observed),
        ),
        published_standard_error=baseline_win_rate(fitted).standard_error,
        length_effect=float(coefficients[0]),
        difficulty_effect=float(coefficients[1]),
        model_effect=float(coefficients[2]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """What a weighted logistic regression is fitted to."""

    design: NDArray[np.float64]
    target: NDArray[np.float64]
    weight: NDArray[np.float64]

    def with_further(self, data: LengthData) -> _Rows:
        """Add rows of other models, which share all coefficients but the model's own."""
        n = len(data.preferences)
        design = np.column_stack([data.tanh_length, data.difficulty, np.zeros(n)])
        return _Rows(
            design=np.vstack([self.design, design]),
            target=np.concatenate([self.target, _in_unit_range(data.preferences)]),
            weight=np.concatenate([self.weight, np.full(n, data.weight)]),
        )


def _fit(rows: _Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients of maximum likelihood and their inverse information, by Newton's method.

    Columns that do not vary, such as unknown difficulties, get the coefficient 0; steps are halved
    until the likelihood grows, and bounded where the data separate and the maximum is infinite.
    """
    coefficients = np.zeros(rows.design.shape[1])
    inverse: NDArray[np.float64] = np.zeros((len(coefficients), len(coefficients)))
    reached = _log_likelihood(rows, coefficients)
    for _ in range(_NEWTON_STEPS):
        fitted = special.expit(rows.design @ coefficients)
        slope = rows.design.T @ (rows.weight * (rows.target - fitted))
        curvature = (rows.design * (rows.weight * fitted * (1.0 - fitted))[:, None]).T @ rows.design
        inverse = np.asarray(np.linalg.pinv(curvature, hermitian=True))
        step = inverse @ slope
        if float(slope @ step) < _NEWTON_TOLERANCE:
            break
        while _log_likelihood(rows, coefficients + step) < reached:
            step = step / 2.0
        coefficients = coefficients + step
        reached = _log_likelihood(rows, coefficients)
    return coefficients, inverse


def _log_likelihood(rows: _Rows, coefficients: NDArray[np.float64]) -> float:
    logit = rows.design @ coefficients
    return float(rows.weight @ (rows.target * logit - np.logaddexp(0.0, logit)))


def _interval(
    value: float,
    influence: NDArray[np.float64],
    observed: NDArray[np.float64],
    *,
    level: float,
) -> tuple[float, float]:
    n = len(observed)
    df = n - _COEFFICIENTS
    if df <= 0 or min(observed.sum(), n - observed.sum()) < _LEAST_EVENTS:
        return 0.0, 1.0
    if np.ptp(observed) == 0.0:
        return unanimous_interval(value, n, bounds=(0.0, 1.0), level=level)
    return share_interval(value, float(np.sum(influence**2)) / n / df, df=df, level=level)


def _in_unit_range(preferences: NDArray[np.float64]) -> NDArray[np.float64]:
    observed = np.asarray(preferences, dtype=float).reshape(-1)
    if not np.all((observed >= 0.0) & (observed <= 1.0)):
        raise InputError("preferences must lie between 0 and 1")
    return observed
