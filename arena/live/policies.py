"""Which two models meet next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations

import numpy as np

from evalcore.errors import InputError
from evalcore.stats.counts import Counts
from evalcore.stats.pairing import PairingPolicy, next_battles

__all__ = ["POLICIES", "Policy", "active", "fewest_votes", "make_policy", "uniform"]

Policy = Callable[[Counts, np.random.Generator], tuple[str, str]]
"""From the votes so far, battles under way counted as ties, to two different models, in any order:
sides are drawn elsewhere."""

POLICIES = ("uniform", "fewest", "active")


def make_policy(name: str, *, top_k: int = 1) -> Policy:
    """Return a policy by its name.

    Parameters
    ----------
    name
        ``uniform``, ``fewest`` or ``active``.
    top_k
        What ``active`` is to settle: which models are the best so many.

    Raises
    ------
    InputError
        For another name, or ``top_k`` under 1.
    """
    if top_k < 1:
        raise InputError(f"top_k must be at least 1; got {top_k}")
    policies: dict[str, Policy] = {
        "uniform": uniform,
        "fewest": fewest_votes,
        "active": partial(active, top_k=top_k),
    }
    if name not in policies:
        raise InputError(f"policy must be one of {', '.join(policies)}; got {name!r}")
    return policies[name]


def uniform(counts: Counts, rng: np.random.Generator) -> tuple[str, str]:
    """Draw every pair with the same probability."""
    first, second = rng.choice(len(counts.models), size=2, replace=False)
    return counts.models[first], counts.models[second]


def fewest_votes(counts: Counts, rng: np.random.Generator) -> tuple[str, str]:
    """Take the pair with the fewest votes; among equals, the one whose models have fewest; draw."""
    battles, exposure = counts.battles, counts.votes_per_model
    pairs = list(combinations(range(len(counts.models)), 2))
    needs = [(battles[a, b], exposure[a] + exposure[b]) for a, b in pairs]
    neediest = [pair for pair, need in zip(pairs, needs, strict=True) if need == min(needs)]
    first, second = neediest[rng.integers(len(neediest))]
    return counts.models[first], counts.models[second]


def active(counts: Counts, rng: np.random.Generator, *, top_k: int) -> tuple[str, str]:
    """Take the pair that tells most about which models are the top k; see :func:`next_battles`.

    With as many models as places, or fewer, the best of all is looked for.
    """
    if len(counts.models) == 2:
        return counts.models[0], counts.models[1]
    k = top_k if top_k < len(counts.models) else 1
    (battle,) = next_battles(counts, PairingPolicy(top_k=k), rng=rng)
    return battle.model_a, battle.model_b
