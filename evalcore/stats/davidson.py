"""Davidson's Bradley–Terry model with ties, fitted to counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.bradley_terry import PairFit
from evalcore.stats.counts import Counts
from evalcore.stats.newton import Quadratic, laplacian, maximise

__all__ = ["fit_davidson"]


def fit_davidson(counts: Counts, *, start: NDArray[np.float64] | None = None) -> PairFit:
    """Maximise the likelihood with P(win) : P(tie) : P(loss) = e^{d/2} : ν : e^{−d/2}.

    Here d = θ_i − θ_j: a tie is most likely between equals, and the strengths are those of the
    decided votes. They lie further apart than with ties as half wins: the scales can't be mixed.

    Parameters
    ----------
    counts
        Votes among models that are joined both ways, with at least one tie and one decided vote.
    start
        Strengths to begin with, shape ``(m,)``.

    Returns
    -------
    PairFit

    References
    ----------
    Davidson (1970), On extending the Bradley–Terry model to accommodate ties in paired comparison
    experiments, JASA 65, eq. 2.4.
    """
    n_models = len(counts.models)
    battles = counts.battles
    scores = (counts.wins + counts.ties / 2).sum(axis=1)
    n_ties = float(counts.ties.sum() / 2)

    def evaluate(point: NDArray[np.float64]) -> Quadratic:
        win, tie, log_win, log_tie = _probabilities(point[:-1], point[-1])
        expected = win + tie / 2
        cross = np.sum(battles * tie * (0.5 - expected), axis=1)
        information = np.empty((n_models + 1, n_models + 1))
        information[:-1, :-1] = laplacian(battles * _score_variance(win, tie))
        information[:-1, -1] = information[-1, :-1] = cross
        information[-1, -1] = np.sum(battles * tie * (1 - tie)) / 2
        return Quadratic(
            value=float(np.vdot(counts.wins, log_win) + np.vdot(counts.ties, log_tie) / 2),
            gradient=np.append(
                scores - np.sum(battles * expected, axis=1), n_ties - np.sum(battles * tie) / 2
            ),
            information=information,
        )

    first = np.zeros(n_models) if start is None else start
    decided = counts.n_votes - n_ties
    top = maximise(evaluate, np.append(first, np.log(2 * n_ties / decided)), n_models=n_models)
    win, tie, *_ = _probabilities(top.point[:-1], top.point[-1])
    outcome_score = np.array([1.0, 0.0, 0.5, 0.5]).reshape(4, 1, 1)
    outcome_tie = np.array([0.0, 0.0, 1.0, 1.0]).reshape(4, 1, 1)
    return PairFit(
        strengths=top.point[:-1],
        nu=float(np.exp(top.point[-1])),
        inverse_information=top.inverse_information,
        residuals=outcome_score - (win + tie / 2),
        tie_residuals=outcome_tie - tie,
        variance=_score_variance(win, tie),
    )


def _probabilities(
    strengths: NDArray[np.float64], log_nu: np.float64
) -> tuple[NDArray[np.float64], ...]:
    """P(row wins), P(tie) and their logarithms, each ``(m, m)``."""
    half = (strengths[:, None] - strengths) / 2
    total = np.logaddexp(np.logaddexp(half, -half), log_nu)
    log_win, log_tie = half - total, log_nu - total
    return np.exp(log_win), np.exp(log_tie), log_win, log_tie


def _score_variance(win: NDArray[np.float64], tie: NDArray[np.float64]) -> NDArray[np.float64]:
    return win + tie / 4 - np.square(win + tie / 2)
