"""Consensus of raters of unequal skill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from evalcore.errors import InputError
from evalcore.stats.clustering import group_codes
from evalcore.stats.labels import Labels

__all__ = ["Consensus", "dawid_skene"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What the units are likely to be, and how each rater errs."""

    units: NDArray[Any]
    """Shape (n_units,), sorted."""
    raters: NDArray[Any]
    """Shape (n_raters,), sorted."""
    labels: NDArray[Any]
    """Shape (n_labels,), sorted."""
    posterior: NDArray[np.float64]
    """Probability of each label for each unit, shape (n_units, n_labels)."""
    confusion: NDArray[np.float64]
    """P(rater says l | truth is k), shape (n_raters, n_labels k, n_labels l)."""
    prevalence: NDArray[np.float64]
    """Share of each label, shape (n_labels,)."""
    log_likelihood: float
    n_iterations: int
    converged: bool

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Probability that each rater is right, given the prevalence; shape (n_raters,)."""
        right = np.diagonal(self.confusion, axis1=1, axis2=2)
        return np.asarray(right @ self.prevalence)


def dawid_skene(
    given: Labels,
    *,
    smoothing: float = 0.01,
    tolerance: float = 1e-8,
    max_iterations: int = 2_000,
) -> Consensus:
    """Estimate true labels and every rater's confusion matrix together.

    The model: a unit has label k with probability p_k, and rater r says l with probability π_rkl,
    independently of the other raters given k. EM from the share of votes, as in [1]_:
    T_ik ∝ p_k Π_r π_rkl^{n_irl} and π_rkl ∝ Σ_i T_ik n_irl + ``smoothing``.

    Parameters
    ----------
    given
        At least one label.
    smoothing
        Votes added to each cell of a confusion matrix, at least 0, so that a rater of few units is
        not taken for infallible; 0 is maximum likelihood.
    tolerance
        EM ends when no posterior probability moves by more.
    max_iterations
        Most rounds of EM; ``converged`` says whether they were enough.

    Returns
    -------
    Consensus
        For a single rater the rater's own labels. Which label is which is fixed by the start alone:
        if most raters are worse than chance the labels change places.

    References
    ----------
    .. [1] Dawid & Skene (1979), Maximum likelihood estimation of observer error-rates using the EM
       algorithm, Applied Statistics 28, eq. 2.3-2.5.
    """
    if len(given.units) == 0:
        raise InputError("there must be at least one label")
    if smoothing < 0.0 or max_iterations < 1:
        raise InputError(
            "smoothing must be at least 0 and max_iterations at least 1; "
            f"got {smoothing} and {max_iterations}"
        )
    columns = (given.units, given.raters, given.labels)
    unit, rater, label = (group_codes(column) for column in columns)
    shape = int(rater.max()) + 1, int(label.max()) + 1
    posterior = np.zeros((int(unit.max()) + 1, shape[1]))
    np.add.at(posterior, (unit, label), 1.0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    move, rounds, log_likelihood = np.inf, 0, -np.inf
    while move > tolerance and rounds < max_iterations:
        prevalence = posterior.mean(axis=0)
        confusion = _confusion(posterior[unit], rater, label, shape=shape, smoothing=smoothing)
        with np.errstate(divide="ignore"):
            joint = np.tile(np.log(prevalence), (len(posterior), 1))
            np.add.at(joint, unit, np.log(confusion)[rater, :, label])
        evidence = special.logsumexp(joint, axis=1, keepdims=True)
        updated = np.exp(joint - evidence)
        move = float(np.abs(updated - posterior).max())
        posterior, log_likelihood, rounds = updated, float(evidence.sum()), rounds + 1
    return Consensus(
        units=np.unique(given.units),
        raters=np.unique(given.raters),
        labels=np.unique(given.labels),
        posterior=posterior,
        confusion=confusion,
        prevalence=prevalence,
        log_likelihood=log_likelihood,
        n_iterations=rounds,
        converged=move <= tolerance,
    )


def _confusion(
    truth: NDArray[np.float64],
    rater: NDArray[np.intp],
    label: NDArray[np.intp],
    *,
    shape: tuple[int, int],
    smoothing: float,
) -> NDArray[np.float64]:
    """Share of each label that each rater gives for each truth; equal shares where none is known.

    ``truth`` holds the posterior of each given label's unit, shape (n, n_labels).
    """
    n_raters, n_labels = shape
    confusion = np.full((n_raters, n_labels, n_labels), float(smoothing))
    np.add.at(confusion.transpose(0, 2, 1), (rater, label), truth)
    given = confusion.sum(axis=2, keepdims=True)
    return np.where(given > 0.0, confusion / np.where(given > 0.0, given, 1.0), 1.0 / n_labels)
