"""Likelihood of votes given models and style, in few passes over the votes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.special import expit

from evalcore.errors import InputError
from evalcore.stats.covariance import ClusteredVotes, Covariance, cluster_covariance, told
from evalcore.stats.newton import Maximum, Quadratic, chord, laplacian, maximise
from evalcore.votes.columns import OUTCOME_SCORES

__all__ = ["StyleLikelihood"]

_CHUNK_VOTES = 1 << 14  # a chunk and what is computed from it stay in the cache
_BLOCK_VOTES = 1 << 16  # sums by pair cost as much for each block as for 40,000 votes
_START_VOTES = 1 << 16
_MOST_CONDITION = 1e10
_LAST_STEP = 1e-4  # after it the error is less than its square


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

    def maximum(self, strengths: NDArray[np.float64], *, meat: bool) -> Maximum:
        """Climb from strengths without style.

        Features come first, alone and on a part of the votes, with a factor for the strengths,
        which are larger at equal style. One pass over all votes gives the information for steps
        whose own passes need the gradient alone, and the last pass gives all that is reported.

        Parameters
        ----------
        strengths
            ``(m,)`` of :func:`~evalcore.stats.bradley_terry.fit_bradley_terry`.
        meat
            Whether :meth:`vote_covariance` will be asked for.

        Raises
        ------
        InputError
            If features explain each other.
        """
        step = max(len(self.pair) // _START_VOTES, 1)
        offsets = (strengths[:, None] - strengths).ravel()[self.pair[::step]]
        score, x = OUTCOME_SCORES[self.winner[::step]], np.vstack([offsets, self.x[:, ::step]])
        coefficients = np.append(1.0, np.zeros(len(self.x)))
        for _ in range(3):
            expected = expit(coefficients @ x)
            information = (x * (expected * (1 - expected))) @ x.T
            if np.linalg.cond(information[1:, 1:]) > _MOST_CONDITION:
                raise InputError("style features must not explain each other; leave one out")
            coefficients += np.linalg.lstsq(information, x @ (score - expected))[0]
        start = np.append(coefficients[0] * strengths, coefficients[1:])
        near = chord(self._gradient, self._quadratic(start), start, n_models=self.n_models)
        return maximise(
            lambda point: self._quadratic(point, meat=meat),
            near,
            n_models=self.n_models,
            last_step=_LAST_STEP,
        )

    def cluster_covariance(self, top: Maximum, clusters: Sequence[NDArray[np.int64]]) -> Covariance:
        """Sandwich covariance of strengths and coefficients, by one or two clusterings."""
        a, b = np.divmod(self.pair.astype(np.intp), self.n_models)
        residual, information = np.empty(len(self.pair)), np.empty(len(self.pair))
        for chunk in self._chunks(top.point, slice(0, len(self.pair))):
            residual[chunk.place] = chunk.residual
            information[chunk.place] = chunk.expected * (1 - chunk.expected)
        votes = ClusteredVotes(
            model_a=a,
            model_b=b,
            residual=residual,
            information=information,
            extra=self.x * residual,
            clusters=clusters,
        )
        return cluster_covariance(top.inverse_information, votes)

    def vote_covariance(self, top: Maximum, n_each: NDArray[np.float64]) -> Covariance:
        """Sandwich covariance of strengths and coefficients, for independent votes.

        Parameters
        ----------
        top
            Found with ``meat``.
        n_each
            ``(m,)`` votes on each model.

        Raises
        ------
        InputError
            For a maximum that was found without ``meat``.
        """
        if top.last.meat is None:
            raise InputError("the covariance by vote needs a maximum with meat")
        n, p = len(self.pair), len(top.point) - 1
        bread = top.inverse_information
        matrix = n / (n - p) * (bread @ top.last.meat @ bread)
        known = told(matrix, bread)[: self.n_models]
        return Covariance(matrix=matrix, df=np.where(known, n_each - 1.0, 0.0))

    def _gradient(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        residuals, style = np.zeros(self.n_models**2), np.zeros(len(self.x))
        residual = np.empty(min(_BLOCK_VOTES, len(self.pair)))
        for block, by_pair in self._blocks():
            for chunk in self._chunks(point, block):
                residual[chunk.place] = chunk.residual
                style += chunk.x @ chunk.residual
            residuals += by_pair @ residual[: by_pair.shape[1]]
        return np.append(_by_model(residuals, self.n_models), style)

    def _quadratic(self, point: NDArray[np.float64], *, meat: bool = False) -> Quadratic:
        """Everything that one pass over the votes can tell at a point."""
        k = len(self.x)
        n_rows = 3 + 2 * k if meat else 2 + k
        pair_sums, feature_sums = np.zeros((n_rows, self.n_models**2)), np.zeros((n_rows, k))
        buffer = np.empty((n_rows, min(_BLOCK_VOTES, len(self.pair))))
        value = 0.0
        for block, by_pair in self._blocks():
            for chunk in self._chunks(point, block):
                rows = buffer[:, chunk.place]
                rows[0] = chunk.residual
                np.multiply(chunk.expected, 1 - chunk.expected, out=rows[1])
                np.multiply(chunk.x, rows[1], out=rows[2 : 2 + k])
                if meat:
                    np.square(chunk.residual, out=rows[2 + k])
                    np.multiply(chunk.x, rows[2 + k], out=rows[3 + k :])
                feature_sums += rows @ chunk.x.T
                value += chunk.log_likelihood()
            for sums, values in zip(pair_sums, buffer, strict=True):
                sums += by_pair @ values[: by_pair.shape[1]]
        return Quadratic(
            value=value,
            gradient=np.append(_by_model(pair_sums[0], self.n_models), feature_sums[0]),
            information=self._matrix(pair_sums[1 : 2 + k], feature_sums[2 : 2 + k]),
            meat=self._matrix(pair_sums[2 + k :], feature_sums[3 + k :]) if meat else None,
        )

    def _blocks(self) -> Iterator[tuple[slice, csc_array]]:
        """Block by block its rows, and the matrix ``(m², n)`` that sums their values by pair.

        Its product with values takes half the time of bincount.
        """
        most = min(_BLOCK_VOTES, len(self.pair))
        one_each, ends = np.ones(most), np.arange(most + 1, dtype=np.int32)
        for first in range(0, len(self.pair), _BLOCK_VOTES):
            pair = self.pair[first : first + _BLOCK_VOTES].astype(np.int32)
            n = len(pair)
            cells = (one_each[:n], pair, ends[: n + 1])
            yield slice(first, first + n), csc_array(cells, shape=(self.n_models**2, n))

    def _chunks(self, point: NDArray[np.float64], block: slice) -> Iterator[_Chunk]:
        strengths, coefficients = point[: self.n_models], point[self.n_models :]
        differences = (strengths[:, None] - strengths).ravel()
        for first in range(block.start, block.stop, _CHUNK_VOTES):
            rows = slice(first, min(first + _CHUNK_VOTES, block.stop))
            x = self.x[:, rows]
            logit = coefficients @ x
            logit += differences.take(self.pair[rows])
            with np.errstate(over="ignore"):  # NumPy's exp is vectorised, expit is not
                expected = 1 / (1 + np.exp(-logit))
            score = OUTCOME_SCORES.take(self.winner[rows])
            yield _Chunk(
                place=slice(rows.start - block.start, rows.stop - block.start),
                x=x,
                logit=logit,
                expected=expected,
                score=score,
                residual=score - expected,
            )

    def _matrix(
        self, by_pair: NDArray[np.float64], own: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Σ w z zᵀ over votes, z = (e_a − e_b, x), from Σ w and Σ w x by pair and Σ w x xᵀ."""
        table = by_pair[0].reshape(self.n_models, self.n_models)
        cross = np.array([_by_model(sums, self.n_models) for sums in by_pair[1:]])
        return np.block([[laplacian(table + table.T), cross.T], [cross, own]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Some votes at a point."""

    place: slice
    """Where they are in their block."""
    x: NDArray[np.float64]
    """``(k, n)``."""
    logit: NDArray[np.float64]
    expected: NDArray[np.float64]
    """``(n,)`` p."""
    score: NDArray[np.float64]
    """``(n,)`` y."""
    residual: NDArray[np.float64]
    """``(n,)`` y − p."""

    def log_likelihood(self) -> float:
        with np.errstate(divide="ignore"):  # −∞ after a step too far, which is halved
            logs = np.log(self.expected).sum()
        return float(logs - self.logit.sum() + self.score @ self.logit)


def _by_model(pairs: NDArray[np.float64], n_models: int) -> NDArray[np.float64]:
    """Add each pair's sum at A and subtract it at B."""
    table = pairs.reshape(n_models, n_models)
    return np.asarray(table.sum(axis=1) - table.sum(axis=0))
