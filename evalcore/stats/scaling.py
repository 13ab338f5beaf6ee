"""How a loss falls with the size of a model, or with the compute that trained it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.clustering import t_quantile

__all__ = ["ScalingLaw", "scaling_law"]

Kind = Literal["power", "power with floor"]

_LEAST_SIZES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """A fitted law L(x) = a · x^(−b) + c."""

    kind: Kind
    """``power`` has c = 0."""
    exponent: Estimate
    """b: how many times the part above the floor falls, in logarithms; below 0 it grows."""
    floor: Estimate
    """c, what no size goes below; 0 with no interval for ``power``."""
    scale: float
    """a."""
    n: int
    """Models that it was fitted on."""
    df: int
    """Models minus parameters."""
    residual_error: float
    """Typical error of a model's loss, as a share of it."""
    centre: float
    """Geometric mean of x, at which the parameters are fitted."""
    covariance: NDArray[np.float64]
    """Of log-height above the floor at the centre, b and c; (p, p) for p = 2 or 3 parameters."""
    confidence_level: float

    def __call__(self, x: ArrayLike) -> NDArray[np.float64]:
        """Return the law's loss at some sizes."""
        sizes = np.asarray(x, dtype=float)
        return np.asarray(self.scale * sizes**-self.exponent.value + self.floor.value)

    def interval(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Interval of the law itself at some sizes, not of a new model's loss around it.

        By the delta method on the logarithm of the loss.
        """
        sizes = np.asarray(x, dtype=float).reshape(-1)
        fitted = self(sizes)
        gradient = _gradient(sizes / self.centre, self._theta, len(self.covariance))
        variance = np.einsum("ip,pq,iq->i", gradient, self.covariance, gradient)
        half = t_quantile(self.confidence_level, self.df) * np.sqrt(np.maximum(variance, 0.0))
        return fitted * np.exp(-half), fitted * np.exp(half)

    @property
    def _theta(self) -> NDArray[np.float64]:
        height = math.log(self.scale) - self.exponent.value * math.log(self.centre)
        return np.array([height, self.exponent.value, self.floor.value])


def scaling_law(
    sizes: ArrayLike, losses: ArrayLike, *, floor: bool = False, level: float = 0.95
) -> ScalingLaw:
    """Fit a power law to the losses of models of several sizes.

    L(x) = a x^(−b) [1]_, or with a floor L(x) = a x^(−b) + c [2]_ with c ≥ 0, by least squares on
    the logarithm of the loss: errors count by their share of it. Without a floor this is a straight
    line in logarithms, and intervals are exact for normal errors. With one they are by the
    linearised law and Student's t with n − 3 degrees of freedom; three parameters need losses over
    a wide range of sizes.

    Parameters
    ----------
    sizes
        Parameters of each model, or its training compute, shape (n,), positive.
    losses
        Mean loss of each, such as nats or bits per byte, shape (n,), positive. A nan is left out.
    floor
        Whether to fit c.
    level
        Confidence level.

    Raises
    ------
    InputError
        For fewer distinct sizes than parameters plus one, as then nothing says how well the law
        fits, and for sizes or losses that are not positive.

    References
    ----------
    .. [1] Kaplan et al. (2020), Scaling laws for neural language models, equation 1.1.
    .. [2] Dey et al. (2023), Cerebras-GPT: open compute-optimal language models trained on the
       Cerebras wafer-scale cluster, section 3.1.

    Examples
    --------
    >>> law = scaling_law([1e8, 1e9, 1e10, 1e11], [4.0, 3.0, 2.25, 1.6875])
    >>> round(law.exponent.value, 4), bool(abs(law(1e9) - 3.0) < 1e-9)
    (0.1249, True)
    """
    x, y = _checked(sizes, losses, n_parameters=3 if floor else 2)
    centre = float(np.exp(np.mean(np.log(x))))
    theta = _fit_power(x / centre, y)
    n_parameters = 2
    if floor:
        theta, n_parameters = _fit_floor(x / centre, y, theta), 3
    residual = np.log(y) - np.log(_law(x / centre, theta))
    df = len(y) - n_parameters
    variance = float(residual @ residual) / df
    gradient = _gradient(x / centre, theta, n_parameters)
    covariance = np.asarray(variance * np.linalg.pinv(gradient.T @ gradient), dtype=float)
    b, c = (_estimate(theta, covariance, place, df=df, level=level, n=len(y)) for place in (1, 2))
    return ScalingLaw(
        kind="power with floor" if floor else "power",
        exponent=b,
        floor=c,
        scale=float(np.exp(theta[0]) * centre ** theta[1]),
        n=len(y),
        df=df,
        residual_error=math.sqrt(variance),
        centre=centre,
        covariance=covariance,
        confidence_level=level,
    )


def _checked(
    sizes: ArrayLike, losses: ArrayLike, *, n_parameters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(sizes, dtype=float), np.asarray(losses, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise InputError(f"sizes and losses must be equally many; got {x.shape} and {y.shape}")
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if np.any(x <= 0) or np.any(y <= 0) or np.any(np.isinf(x)) or np.any(np.isinf(y)):
        raise InputError("sizes and losses must be positive and finite")
    if len(np.unique(x)) < n_parameters + 1:
        raise InputError(
            f"a law of {n_parameters} parameters needs models of {n_parameters + 1} sizes; "
            f"got {len(np.unique(x))}"
        )
    return x, y


def _law(u: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loss at sizes relative to the centre, for log-height, exponent and floor."""
    return np.asarray(np.exp(theta[0] - theta[1] * np.log(u)) + theta[2])


def _gradient(
    u: NDArray[np.float64], theta: NDArray[np.float64], n_parameters: int
) -> NDArray[np.float64]:
    """Of the logarithm of the loss, shape (n, n_parameters)."""
    above = np.exp(theta[0] - theta[1] * np.log(u))
    share = above / (above + theta[2])
    columns = [share, -share * np.log(u), 1.0 / (above + theta[2])]
    return np.column_stack(columns[:n_parameters])


def _fit_power(u: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    slope, height = np.polyfit(np.log(u), np.log(y), 1)
    return np.array([height, -slope, 0.0])


def _fit_floor(
    u: NDArray[np.float64], y: NDArray[np.float64], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Begin from several floors, and keep the best: the sum of squares has flat valleys."""
    found = []

    def residuals(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log(_law(u, theta)) - np.log(y))

    def gradient(theta: NDArray[np.float64]) -> NDArray[np.float64]:
        return _gradient(u, theta, 3)

    for share in (0.0, 0.3, 0.6, 0.9):
        least = share * float(y.min())
        above = _fit_power(u, y - least)
        first = np.array([above[0], above[1], max(least, 1e-6 * float(y.min()))])
        fit = optimize.least_squares(
            residuals,
            first,
            jac=gradient,
            bounds=([-np.inf, -np.inf, 0.0], [np.inf, np.inf, float(y.min())]),
            x_scale="jac",
            xtol=1e-12,
            ftol=1e-14,
            gtol=1e-12,
        )
        found.append((float(fit.cost), fit.x))
    return np.asarray(min(found, key=lambda item: item[0])[1])


def _estimate(
    theta: NDArray[np.float64],
    covariance: NDArray[np.float64],
    place: int,
    *,
    df: int,
    level: float,
    n: int,
) -> Estimate:
    fitted = place < len(covariance)
    error = math.sqrt(max(covariance[place, place], 0.0)) if fitted else math.nan
    half = t_quantile(level, df) * error
    value = float(theta[place])
    return Estimate(
        value=value,
        low=value - half,
        high=value + half,
        confidence_level=level,
        method="least squares on log loss, t" if fitted else "fixed",
        n=n,
    )
