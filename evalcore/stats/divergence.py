"""How far a model's next-token distributions are from a reference's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError

__all__ = ["kl_divergences", "same_top"]


def kl_divergences(
    reference: NDArray[np.floating], other: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Kullback-Leibler divergence of each distribution from the reference's, in nats [1]_.

    D(P‖Q) = Σ_i p_i (ln p_i − ln q_i), a term with p_i = 0 counting 0. It is 0 for equal
    distributions and infinite where the other one rules out what the reference holds possible.
    Rounding of logarithms in single precision leaves an error of about 1e-7, which may make it
    negative; that is cut off at 0.

    Parameters
    ----------
    reference, other : (n_tokens, n_vocabulary)
        Natural logarithms of probabilities.

    Returns
    -------
    numpy.ndarray : (n_tokens,)

    References
    ----------
    .. [1] Kullback & Leibler (1951), On information and sufficiency, Annals of Mathematical
       Statistics 22, eq. 2.4.

    Examples
    --------
    >>> p, q = np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])
    >>> [round(float(d), 4) for d in kl_divergences(p, q)]
    [0.1438]
    """
    _check(reference, other)
    p, q = reference.astype(np.float64), other.astype(np.float64)
    possible = p > -np.inf
    terms = np.zeros_like(p)
    terms[possible] = np.exp(p[possible]) * (p[possible] - q[possible])
    return np.asarray(np.maximum(terms.sum(axis=1), 0.0), dtype=np.float64)


def same_top(reference: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Say for each token whether both hold the same one likeliest, shape (n_tokens,)."""
    _check(reference, other)
    return np.asarray(reference.argmax(axis=1) == other.argmax(axis=1), dtype=np.bool_)


def _check(reference: NDArray[np.floating], other: NDArray[np.floating]) -> None:
    if reference.ndim != 2 or reference.shape != other.shape:
        raise InputError(
            f"distributions must be of one shape, tokens x vocabulary; got {reference.shape} and "
            f"{other.shape}"
        )
