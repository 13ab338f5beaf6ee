"""Newton's method for the concave likelihoods of paired comparisons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

from evalcore.errors import InputError

__all__ = ["Maximum", "Quadratic", "chord", "laplacian", "maximise"]

_MAX_ITERATIONS = 100
_MOST_INFLATION = 1e10  # of a variance by the other parameters; rounding is all that is left of it
_MAX_CHORDS = 8
_CHORD_STEP = 1e-3  # the next one would be about a hundred times smaller
_LAST_STEP = 1e-6  # convergence is quadratic: after a step this small the error is about 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Quadratic:
    """A log-likelihood's value and derivatives at a point of p parameters."""

    value: float
    gradient: NDArray[np.float64]
    """``(p,)``."""
    information: NDArray[np.float64]
    """``(p, p)``: minus the Hessian."""
    meat: NDArray[np.float64] | None = None
    """``(p, p)``: the sum over votes of each one's gradient times itself, if it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """Where a log-likelihood is highest."""

    point: NDArray[np.float64]
    """``(p,)``; its first ``n_models`` entries sum to 0."""
    inverse_information: NDArray[np.float64]
    """``(p, p)`` inverse on the parameters whose strengths sum to 0."""
    last: Quadratic
    """As it was found a last step before ``point``."""


def maximise(
    evaluate: Callable[[NDArray[np.float64]], Quadratic],
    start: NDArray[np.float64],
    *,
    n_models: int,
    last_step: float = _LAST_STEP,
) -> Maximum:
    """Climb to the maximum of a concave function that is finite there and unique.

    A constant added to all strengths changes nothing, so they are held to sum 0; other parameters
    follow them. A step that does not climb is halved.

    Raises
    ------
    InputError
        If the votes don't determine the parameters, as with a feature that goes with the models,
        or numerically, as with weights that differ by many orders of magnitude.
    """
    point = start.copy()
    point[:n_models] -= point[:n_models].mean()
    here = evaluate(point)
    for _ in range(_MAX_ITERATIONS):
        try:
            inverse = _Inverse(here.information, n_models)
        except (LinAlgError, ValueError):  # not positive definite, or not finite
            break
        step = inverse.solve(here.gradient)
        if np.abs(step).max() < last_step:
            matrix = inverse.matrix()
            inflation = np.diagonal(matrix) * np.diagonal(here.information)
            if inflation.max() > _MOST_INFLATION:
                break
            return Maximum(point=point + step, inverse_information=matrix, last=here)
        point, here = _climb(evaluate, point, here, step=step)
    raise InputError(
        "votes must determine the ratings; they do not converge "
        "(weights far apart, or features that go with the models)"
    )


def chord(
    gradient: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    first: Quadratic,
    start: NDArray[np.float64],
    *,
    n_models: int,
) -> NDArray[np.float64]:
    """Come close to the maximum by steps that all use the information at the start.

    For :func:`maximise` to begin with, where a gradient alone is much cheaper than a
    :class:`Quadratic`. Steps that do not shrink to a half end it, at the start if it is the first.
    """
    try:
        inverse = _Inverse(first.information, n_models)
    except (LinAlgError, ValueError):
        return start
    point, step = start, inverse.solve(first.gradient)
    for _ in range(_MAX_CHORDS):
        there = point + step
        following = inverse.solve(gradient(there))
        if not np.abs(following).max() < np.abs(step).max() / 2:
            break
        point, step = there, following
        if np.abs(step).max() < _CHORD_STEP:
            return point + step
    return point


def laplacian(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of w_ij (e_i − e_j)(e_i − e_j)ᵀ over pairs i < j, from a symmetric ``(m, m)`` table."""
    table = -pairs
    np.fill_diagonal(table, pairs.sum(axis=1) - np.diagonal(pairs))
    return table


class _Inverse:
    """Inverse of an information that is singular along the constant of the strengths."""

    def __init__(self, information: NDArray[np.float64], n_models: int) -> None:
        self._null = np.zeros(len(information))
        self._null[:n_models] = 1.0 / np.sqrt(n_models)
        scale = float(np.diagonal(information)[:n_models].mean()) or 1.0
        filled = information + scale * np.outer(self._null, self._null)
        self._factor = cho_factor(filled)  # upper triangle
        self._scale = scale

    def solve(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        solved: NDArray[np.float64] = cho_solve(self._factor, vector)
        return solved - self._null * (self._null @ solved)

    def matrix(self) -> NDArray[np.float64]:
        triangle, _ = dpotri(self._factor[0], lower=self._factor[1])
        upper = np.triu(triangle)
        inverse: NDArray[np.float64] = upper + np.triu(upper, 1).T
        return inverse - np.outer(self._null, self._null) / self._scale


def _climb(
    evaluate: Callable[[NDArray[np.float64]], Quadratic],
    point: NDArray[np.float64],
    here: Quadratic,
    *,
    step: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Quadratic]:
    slack = 1e-12 * (1.0 + abs(here.value))  # rounding: near the top no step climbs visibly
    for halvings in range(60):
        there = point + step / 2.0**halvings
        quadratic = evaluate(there)
        if quadratic.value >= here.value - slack:
            return there, quadratic
    return point, here
