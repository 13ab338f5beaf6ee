"""Which battle next, to settle the top k or one pair of models with the fewest votes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalcore.errors import InputError
from evalcore.stats.bradley_terry import PairFit, fit_bradley_terry
from evalcore.stats.counts import Counts
from evalcore.stats.ranks import draw_strengths

__all__ = ["Battle", "PairingPolicy", "TopSet", "next_battles", "top_set"]


class Battle(NamedTuple):
    """Two models, in the order in which to show them."""

    model_a: str
    model_b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingPolicy:
    """What to settle: either which models are the top k, or which of a pair is better."""

    top_k: int | None = None
    """At least 1, less than the number of models."""
    pair: tuple[str, str] | None = None
    exposure_floor: float = 0.1
    """Each model gets at least this share of an equal share of the votes; in [0, 1]."""

    def __post_init__(self) -> None:
        """Check that there is one thing to settle."""
        if (self.top_k is None) == (self.pair is None):
            raise InputError("a pairing policy needs either top_k or pair")
        if not 0 <= self.exposure_floor <= 1:
            raise InputError(f"exposure_floor must be in [0, 1]; got {self.exposure_floor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopSet:
    """The k best models by the votes so far."""

    models: tuple[str, ...]
    """Best first."""
    settled: bool
    """True if each is better than each of the others at the level asked for."""
    weakest: tuple[str, str]
    """Pair across the border that is known least."""
    z: float
    """Difference of that pair in standard errors."""


def next_battles(
    counts: Counts, policy: PairingPolicy, *, n: int = 1, rng: np.random.Generator
) -> list[Battle]:
    """Choose battles.

    For the top k this is top-two sampling [1]_: draw strengths from the posterior and let the k-th
    and the k+1-th of that draw meet. So the votes go to where the border may lie. A pair settles
    soonest by meeting each other. A model below the exposure floor comes first, against a random
    opponent.

    Parameters
    ----------
    counts
        Votes so far; may be none.
    policy
        What to settle.
    n
        How many battles to choose before the next vote is counted, at least 1.
    rng
        Source of randomness, also of the order of showing.

    Returns
    -------
    list of Battle

    Raises
    ------
    InputError
        For fewer than two models, ``top_k`` or ``pair`` that don't fit the models.

    References
    ----------
    .. [1] Russo (2020), Simple Bayesian algorithms for best-arm identification, Operations Research
       68(6), sec. 3, applied to the border of the top k.
    """
    _check(counts, policy)
    borders = _borders(counts, policy, n, rng)
    exposure = counts.votes_per_model.copy()
    battles = []
    for border in borders:
        floor = policy.exposure_floor * max(exposure.mean(), 1.0)
        least = int(np.argmin(exposure))
        pair = border
        if exposure[least] < floor:
            pair = np.array([least, (least + rng.integers(1, len(exposure))) % len(exposure)])
        exposure[pair] += 1
        first, second = rng.permutation(pair).tolist()
        battles.append(Battle(counts.models[first], counts.models[second]))
    return battles


def top_set(counts: Counts, k: int, *, level: float = 0.99) -> TopSet:
    """Say which models are the top k, and whether that is settled.

    Settled means that for each model inside and each one outside a two-sided interval of their
    difference excludes 0 at the level. Looked at after every vote, a higher level makes up for the
    looking.

    Parameters
    ----------
    counts
        Votes so far; may be none.
    k
        At least 1, less than the number of models.
    level
        In (0, 1).

    Returns
    -------
    TopSet

    Raises
    ------
    InputError
        For ``k`` or ``level`` out of range.
    """
    _check(counts, PairingPolicy(top_k=k))
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1; got {level}")
    fit = _posterior(counts)
    order = np.argsort(-fit.strengths, kind="stable")
    inside, outside = order[:k], order[k:]
    variance = np.diagonal(fit.inverse_information)
    across = np.ix_(inside, outside)
    error = np.sqrt((variance[:, None] + variance - 2 * fit.inverse_information)[across])
    z = (fit.strengths[:, None] - fit.strengths)[across] / error
    at = np.unravel_index(np.argmin(z), z.shape)
    return TopSet(
        models=tuple(counts.models[i] for i in inside),
        settled=bool(z[at] > stats.norm.ppf((1 + level) / 2)),
        weakest=(counts.models[inside[at[0]]], counts.models[outside[at[1]]]),
        z=float(z[at]),
    )


def _check(counts: Counts, policy: PairingPolicy) -> None:
    n_models = len(counts.models)
    if policy.top_k is not None and not 1 <= policy.top_k < n_models:
        raise InputError(f"top_k must be from 1 to {n_models - 1}; got {policy.top_k}")
    for model in policy.pair or ():
        if model not in counts.models:
            raise InputError(f"pair must be of {', '.join(counts.models)}; got {model!r}")
    if policy.pair is not None and policy.pair[0] == policy.pair[1]:
        raise InputError(f"pair must be of two models; got {policy.pair[0]!r} twice")


def _borders(
    counts: Counts, policy: PairingPolicy, n: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Pairs that tell most about what is to be settled, ``(n, 2)``."""
    if policy.top_k is None:
        pair = [counts.models.index(model) for model in policy.pair or ()]
        return np.tile(np.array(pair), (n, 1))
    fit = _posterior(counts)
    draws = fit.strengths[:, None] + draw_strengths(fit.inverse_information, n, rng)
    order = np.argsort(-draws, axis=0)
    return order[policy.top_k - 1 : policy.top_k + 1].T


def _posterior(counts: Counts) -> PairFit:
    """Fit with one tie for each model, spread over all others, as a prior.

    With it every model has a finite strength from the first vote on. The information treats a tie
    as a certain vote's half, which overstates the variance and never settles too soon.
    """
    n_models = len(counts.models)
    prior = (1.0 - np.eye(n_models)) / (n_models - 1)
    return fit_bradley_terry(replace(counts, ties=counts.ties + prior))
