"""Likelihood of votes given models and style, in few passes over the votes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from evalcore.errors import InputError
from evalcore.stats.covariance import ClusteredVotes, Covariance, cluster_covariance
from evalcore.stats.newton import Maximum, Quadratic, laplacian, maximise
from evalcore.votes.columns import OUTCOME_SCORES

__all__ = ["StyleLikelihood"]

_CHUNK_VOTES = 1 << 16  # a chunk and what is computed from it stay in the cache
_START_VOTES = 1 << 17
_MOST_CONDITION = 1e10


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleLikelihood:
    """Σ y log p + (1 − y) log(1 − p), p = σ(θ_a − θ_b + β·x), over n votes among m models."""

    n_models: int
    pair: NDArray[Any]
    """``(n,)`` m·a + b."""
    winner: NDArray[np.uint8]
    """``(n,)`` outcome: y is 1 if A won, 0 if B did, ½ for a tie or neither."""
    x: NDArray[np.float64]
    """``(k, n)`` features."""

    def maximum(self, strengths: NDArray[np.float64]) -> Maximum:
        """Climb from strengths without style.

        Features come first, alone and on a part of the votes: that is cheap and brings the first
        whole pass close.

        Raises
        ------
        InputError
            If features explain each other.
        """
        step = max(len(self.pair) // _START_VOTES, 1)
        offsets = (strengths[:, None] - strengths).ravel()[self.pair[::step]]
        score, x = OUTCOME_SCORES[self.winner[::step]], np.ascontiguousarray(self.x[:, ::step])
        coefficients = np.zeros(len(x))
        for _ in range(3):
            expected = expit(offsets + coefficients @ x)
            information = (x * (expected * (1 - expected))) @ x.T
            if np.linalg.cond(information) > _MOST_CONDITION:
                raise InputError("style features must not explain each other; leave one out")
            coefficients += np.linalg.solve(information, x @ (score - expected))
        start = np.concatenate([strengths, coefficients])
        return maximise(self._quadratic, start, n_models=self.n_models)

    def covariance(self, top: Maximum, clusters: Sequence[NDArray[np.int64]]) -> Covariance:
        """Sandwich covariance of strengths and coefficients, by vote if there are no clusters."""
        if not clusters:
            return self._vote_covariance(top)
        a, b = np.divmod(self.pair.astype(np.intp), self.n_models)
        residual, information = np.empty(len(self.pair)), np.empty(len(self.pair))
        for rows, expected, _ in self._expected(top.point):
            residual[rows] = OUTCOME_SCORES[self.winner[rows]] - expected
            information[rows] = expected * (1 - expected)
        votes = ClusteredVotes(
            model_a=a,
            model_b=b,
            residual=residual,
            information=information,
            extra=self.x * residual,
            clusters=clusters,
        )
        return cluster_covariance(top.inverse_information, votes)

    def _expected(
        self, point: NDArray[np.float64]
    ) -> Iterator[tuple[slice, NDArray[np.float64], NDArray[np.float64]]]:
        """Chunk by chunk: its rows, p, and the log-likelihood of each vote."""
        strengths, coefficients = point[: self.n_models], point[self.n_models :]
        differences = (strengths[:, None] - strengths).ravel()
        for first in range(0, len(self.pair), _CHUNK_VOTES):
            rows = slice(first, first + _CHUNK_VOTES)
            logit = differences[self.pair[rows]]
            logit += coefficients @ self.x[:, rows]
            small = np.exp(-np.abs(logit))  # NumPy's exp and log are vectorised, expit is not
            total = 1 + small
            expected = np.where(logit > 0, 1.0, small) / total
            score = OUTCOME_SCORES[self.winner[rows]]
            value = score * logit - np.maximum(logit, 0.0) - np.log(total)
            yield rows, expected, value

    def _quadratic(self, point: NDArray[np.float64]) -> Quadratic:
        information = _PairSums(self.n_models, len(self.x))
        residuals = np.zeros(self.n_models**2)
        style = np.zeros(len(self.x))
        total = 0.0
        for rows, expected, value in self._expected(point):
            x = self.x[:, rows]
            residual = OUTCOME_SCORES[self.winner[rows]] - expected
            residuals += np.bincount(self.pair[rows], residual, len(residuals))
            style += x @ residual
            information.add(self.pair[rows], expected * (1 - expected), x)
            total += float(value.sum())
        return Quadratic(
            value=total,
            gradient=np.append(_by_model(residuals, self.n_models), style),
            information=information.matrix(),
        )

    def _vote_covariance(self, top: Maximum) -> Covariance:
        meat = _PairSums(self.n_models, len(self.x))
        for rows, expected, _ in self._expected(top.point):
            residual = OUTCOME_SCORES[self.winner[rows]] - expected
            meat.add(self.pair[rows], residual**2, self.x[:, rows])
        n, p = len(self.pair), len(top.point) - 1
        battles = np.bincount(self.pair, minlength=self.n_models**2)
        battles = battles.reshape(self.n_models, self.n_models)
        df = (battles.sum(axis=0) + battles.sum(axis=1) - 1).astype(np.float64)
        bread = top.inverse_information
        return Covariance(matrix=n / (n - p) * (bread @ meat.matrix() @ bread), df=df)


class _PairSums:
    """Σ w z zᵀ over votes, z = (e_a − e_b, x), by way of the pairs of models."""

    def __init__(self, n_models: int, n_features: int) -> None:
        self._n_models = n_models
        self._pairs = np.zeros(n_models**2)
        self._cross = np.zeros((n_features, n_models**2))
        self._own = np.zeros((n_features, n_features))

    def add(self, pair: NDArray[Any], weight: NDArray[np.float64], x: NDArray[np.float64]) -> None:
        weighted = x * weight
        self._pairs += np.bincount(pair, weight, len(self._pairs))
        for sums, values in zip(self._cross, weighted, strict=True):
            sums += np.bincount(pair, values, len(sums))
        self._own += weighted @ x.T

    def matrix(self) -> NDArray[np.float64]:
        table = self._pairs.reshape(self._n_models, self._n_models)
        cross = np.array([_by_model(sums, self._n_models) for sums in self._cross])
        return np.block([[laplacian(table + table.T), cross.T], [cross, self._own]])


def _by_model(pairs: NDArray[np.float64], n_models: int) -> NDArray[np.float64]:
    """Add each pair's sum at A and subtract it at B."""
    table = pairs.reshape(n_models, n_models)
    return np.asarray(table.sum(axis=1) - table.sum(axis=0))
