"""Permutation test of paired differences: random signs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

__all__ = ["sign_flip_test"]

_EXACT_UP_TO = 14
_RELATIVE_ERROR = 1e-9


def sign_flip_test(differences: ArrayLike) -> float:
    """Two-sided p-value of the permutation test that flips the sign of each difference.

    If neither side is better, each difference is as likely as its negative. The p-value is the
    share of all 2ⁿ choices of signs whose sum is at least as far from zero as the observed one. Up
    to 14 differences other than zero all choices are counted; beyond that the tail comes from the
    saddlepoint approximation [1]_ in the form of [2]_, which needs no random draws and stays
    accurate far out, where a test of many models at once needs it; where the differences are
    multiples of one unit, such as half points, with the lattice correction of [3]_.

    Parameters
    ----------
    differences
        Finite values, shape (n,); sums over groups where observations depend on each other. Zeros
        tell nothing and are left out.

    Returns
    -------
    float
        1 if there is no difference other than zero.

    References
    ----------
    .. [1] Robinson (1982), Saddlepoint approximations for permutation tests and confidence
       intervals, JRSS B 44, 91-101.
    .. [2] Lugannani & Rice (1980), Saddle point approximation for the distribution of the sum of
       independent random variables, Adv. Appl. Prob. 12, 475-490.
    .. [3] Daniels (1987), Tail probability approximations, Int. Statistical Review 55, eq. 3.11.

    Examples
    --------
    >>> sign_flip_test([1.0, 2.0, 3.0, 4.0, 5.0])  # 2 of 32 choices
    0.0625
    """
    flipped = np.abs(np.asarray(differences, dtype=float))
    observed = abs(float(np.sum(differences)))
    flipped = flipped[flipped > 0.0]
    if len(flipped) == 0:
        return 1.0
    scale = float(flipped.max())
    if len(flipped) <= _EXACT_UP_TO:
        return _exact(flipped / scale, observed / scale)
    return _saddlepoint(flipped / scale, observed / scale)


def _exact(sizes: NDArray[np.float64], observed: float) -> float:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return float(np.mean(np.abs(sums) >= observed - _RELATIVE_ERROR * sizes.sum()))


def _saddlepoint(sizes: NDArray[np.float64], observed: float) -> float:
    """P(|Σ ±size| ≥ observed) from the cumulants K(t) = Σ log cosh(t·size)."""
    total = float(sizes.sum())
    if observed >= total * (1.0 - _RELATIVE_ERROR):
        return float(2.0 ** (1 - len(sizes)))
    spread = float(np.sum(sizes**2))
    if observed <= 1e-4 * math.sqrt(spread):
        return 1.0

    def slope(t: float) -> float:
        return float(sizes @ np.tanh(t * sizes)) - observed

    upper = 1.0 / sizes.min()
    while slope(upper) < 0.0:
        upper *= 2.0
    t = float(optimize.brentq(slope, 0.0, upper, xtol=1e-14, rtol=1e-13))
    exponent = np.abs(t * sizes)
    cumulant = float(np.sum(exponent + np.log1p(np.exp(-2.0 * exponent)) - math.log(2.0)))
    curvature = float(np.sum((sizes / np.cosh(np.minimum(exponent, 350.0))) ** 2))
    w = math.sqrt(max(2.0 * (t * observed - cumulant), 0.0))
    span = _lattice_span(sizes)
    u = (t if span == 0.0 else -math.expm1(-span * t) / span) * math.sqrt(curvature)
    tail = stats.norm.sf(w) + stats.norm.pdf(w) * (1.0 / u - 1.0 / w)
    return float(min(1.0, max(2.0 * tail, 2.0 ** (1 - len(sizes)))))


def _lattice_span(sizes: NDArray[np.float64]) -> float:
    """Distance between neighbouring sums if all sizes are multiples of one unit, else 0."""
    for divisor in range(1, 7):
        unit = float(sizes.min()) / divisor
        multiples = sizes / unit
        if np.all(np.abs(multiples - np.rint(multiples)) < 1e-6):
            return 2.0 * unit
    return 0.0
