"""Permutation test of paired differences: random signs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["sign_flip_test", "sign_flip_tests"]

_EXACT_UP_TO = 14
_RELATIVE_ERROR = 1e-9
_MOST_STEPS = 200


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
    flipped = flipped[flipped > 0.0]
    if len(flipped) == 0:
        return 1.0
    observed = abs(float(np.sum(differences)))
    ones = np.ones((1, len(flipped)))
    return float(sign_flip_tests(flipped[None], ones, np.array([observed]))[0])


def _exact(sizes: NDArray[np.float64], observed: float) -> float:
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    return float(np.mean(np.abs(sums) >= observed - _RELATIVE_ERROR * sizes.sum()))


def sign_flip_tests(
    sizes: NDArray[np.float64], counts: NDArray[np.float64], observed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P-values of :func:`sign_flip_test` for many sets of differences at once.

    Parameters
    ----------
    sizes
        ``(k, s)`` sizes of differences, at least 0.
    counts
        ``(k, s)`` how many differences have each size.
    observed
        ``(k,)`` absolute value of each set's sum.

    Returns
    -------
    NDArray
        ``(k,)``; 1 where no difference is other than zero.
    """
    counts = np.where(sizes > 0.0, counts, 0.0)
    sizes = np.where(counts > 0.0, sizes, 0.0)
    scale = sizes.max(axis=1, initial=0.0)
    n_each = counts.sum(axis=1)
    p_values = np.ones(len(sizes))
    for row in np.flatnonzero((n_each > 0) & (n_each <= _EXACT_UP_TO)):
        every = np.repeat(sizes[row], counts[row].astype(int)) / scale[row]
        p_values[row] = _exact(every, observed[row] / scale[row])
    many = np.flatnonzero(n_each > _EXACT_UP_TO)
    if len(many):
        p_values[many] = _saddlepoint(
            sizes[many] / scale[many, None], counts[many], observed[many] / scale[many]
        )
    return p_values


def _saddlepoint(
    sizes: NDArray[np.float64], counts: NDArray[np.float64], observed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """P(|Σ ±size| ≥ observed) by row, from the cumulants K(t) = Σ log cosh(t·size)."""
    total, spread = (counts * sizes).sum(axis=1), (counts * sizes**2).sum(axis=1)
    least = 2.0 ** (1.0 - counts.sum(axis=1))
    p_values = np.ones(len(sizes))
    whole = observed >= total * (1.0 - _RELATIVE_ERROR)
    p_values[whole] = least[whole]
    rows = np.flatnonzero(~whole & (observed > 1e-4 * np.sqrt(spread)))
    if len(rows) == 0:
        return p_values
    sizes, counts, observed = sizes[rows], counts[rows], observed[rows]
    t = _root(sizes, counts, observed)
    exponent = t[:, None] * sizes
    cumulant = np.sum(
        counts * (exponent + np.log1p(np.exp(-2.0 * exponent)) - math.log(2.0)), axis=1
    )
    curvature = np.sum(counts * (sizes / np.cosh(np.minimum(exponent, 350.0))) ** 2, axis=1)
    w = np.sqrt(np.maximum(2.0 * (t * observed - cumulant), 0.0))
    span = _lattice_span(sizes, counts)
    lattice = -np.expm1(-span * t) / np.where(span > 0.0, span, 1.0)
    u = np.where(span > 0.0, lattice, t) * np.sqrt(curvature)
    tail = special.ndtr(-w) + np.exp(-(w**2) / 2) / math.sqrt(2 * math.pi) * (1.0 / u - 1.0 / w)
    p_values[rows] = np.clip(2.0 * tail, least[rows], 1.0)
    return p_values


def _root(
    sizes: NDArray[np.float64], counts: NDArray[np.float64], observed: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Solve Σ size·tanh(t·size) = observed by row.

    The left side is concave in t, so that Newton's steps from 0 never go beyond the root.
    """
    t = np.zeros(len(sizes))
    moving = np.arange(len(sizes))
    weighted = counts * sizes
    for _ in range(_MOST_STEPS):
        slope = np.tanh(t[moving, None] * sizes[moving])
        missing = observed[moving] - np.sum(weighted[moving] * slope, axis=1)
        steepness = np.sum(weighted[moving] * sizes[moving] * (1.0 - slope**2), axis=1)
        step = missing / steepness
        t[moving] += step
        moving = moving[step > 1e-13 * t[moving]]
        if not len(moving):
            break
    return t


def _lattice_span(sizes: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between neighbouring sums if all of a row's sizes are multiples of one, else 0."""
    there = counts > 0.0
    smallest = np.min(sizes, axis=1, initial=1.0, where=there)
    span = np.zeros(len(sizes))
    for divisor in range(6, 0, -1):  # the largest unit is tried last, and wins
        multiples = sizes * (divisor / smallest[:, None])
        fits = np.all((np.abs(multiples - np.rint(multiples)) < 1e-6) | ~there, axis=1)
        span = np.where(fits, 2.0 * smallest / divisor, span)
    return span
