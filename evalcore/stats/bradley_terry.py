"""The Bradley–Terry model with ties as half wins, fitted to counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evalcore.stats.counts import Counts
from evalcore.stats.newton import Quadratic, laplacian, maximise

__all__ = ["PairFit", "fit_bradley_terry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFit:
    """A fitted model of paired comparisons among m models, as its covariance needs it.

    The p parameters are the m strengths and, with Davidson's ties, log ν. Outcomes are those of
    :data:`evalcore.votes.WINNERS`, seen from the row's model as model A.
    """

    strengths: NDArray[np.float64]
    """``(m,)`` θ, natural logarithm of the odds, sum 0."""
    nu: float | None
    """Davidson's tie parameter; None where ties are half wins."""
    inverse_information: NDArray[np.float64]
    """``(p, p)``."""
    residuals: NDArray[np.float64]
    """``(4, m, m)`` by outcome: score (1, 0, ½ or ½) minus its expectation."""
    tie_residuals: NDArray[np.float64] | None
    """``(4, m, m)`` by outcome: tie (0 or 1) minus its probability; None without ν."""
    variance: NDArray[np.float64]
    """``(m, m)`` variance of a vote's score under the model: its information."""


def fit_bradley_terry(counts: Counts, *, start: NDArray[np.float64] | None = None) -> PairFit:
    """Maximise Σ s_ij log σ(θ_i − θ_j), s_ij = wins of i over j plus half the ties.

    Parameters
    ----------
    counts
        Votes among models that are joined both ways (see
        :func:`evalcore.stats.connectivity.connectivity`); a single model has strength 0.
    start
        Strengths to begin with, shape ``(m,)``, such as those before the last vote.

    Returns
    -------
    PairFit
        With the gradient at 0 to rounding.

    References
    ----------
    Bradley & Terry (1952), Rank analysis of incomplete block designs, Biometrika 39, eq. 1.
    Hunter (2004), MM algorithms for generalized Bradley–Terry models, Annals of Statistics 32,
    eq. 3.
    """
    n_models = len(counts.models)
    battles = counts.battles
    scores = counts.wins.sum(axis=1) + counts.ties.sum(axis=1) / 2

    def evaluate(strengths: NDArray[np.float64]) -> Quadratic:
        odds = np.exp(strengths)  # σ(θ_i − θ_j) as e_i / (e_i + e_j): m exponentials, not m²
        sums = odds[:, None] + odds
        expected = odds[:, None] / sums
        shares = battles * expected
        return Quadratic(
            value=float(scores @ strengths - np.vdot(battles, np.log(sums)) / 2),
            gradient=scores - shares.sum(axis=1),
            information=laplacian(shares * expected.T),
        )

    first = np.zeros(n_models) if start is None else start
    with np.errstate(over="ignore", invalid="ignore"):  # of a step too far, which is halved
        top = maximise(evaluate, first, n_models=n_models)
    expected = expit(top.point[:, None] - top.point)
    return PairFit(
        strengths=top.point,
        nu=None,
        inverse_information=top.inverse_information,
        residuals=np.array([[[1.0]], [[0.0]], [[0.5]], [[0.5]]]) - expected,
        tie_residuals=None,
        variance=expected * expected.T,
    )
