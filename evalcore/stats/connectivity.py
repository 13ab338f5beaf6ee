"""Which ratings the battles determine: the graph of who beat whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from evalcore.stats.counts import Counts

__all__ = ["Connectivity", "connectivity", "finite_nu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connectivity:
    """Models sorted by whether the battles give them a finite rating.

    A Bradley–Terry estimate is finite and unique exactly among models that are joined both ways by
    chains of wins and ties [1]_.

    References
    ----------
    .. [1] Ford (1957), Solution of a ranking problem from binary comparisons, American Mathematical
       Monthly 64(8), assumption p. 29.
    """

    components: tuple[tuple[int, ...], ...]
    """Groups of models with no battle between them, largest first; each holds positions."""
    core: NDArray[np.intp]
    """Models that are joined both ways: the ones with finite ratings."""
    above: NDArray[np.intp]
    """Models joined to the core by wins alone: their estimate is +∞."""
    below: NDArray[np.intp]
    """Models joined to the core by losses alone: their estimate is -∞."""
    apart: NDArray[np.intp]
    """Models that can't be compared with the core."""


def connectivity(counts: Counts, anchor: int | None = None) -> Connectivity:
    """Sort models by whether their rating is determined.

    Parameters
    ----------
    counts
        Battles of at least one model.
    anchor
        A model that belongs to the core; if not given, the core is the largest group of models
        that are joined both ways, in the component with the most models.

    Returns
    -------
    Connectivity
    """
    beat = counts.wins + counts.ties > 0
    if _reached(beat, 0).all() and _reached(beat.T, 0).all():
        return _everyone(len(beat))
    votes = counts.votes_per_model
    graph = csr_array(beat.astype(np.int8))
    component = connected_components(graph, connection="weak")[1]
    strong = connected_components(graph, connection="strong")[1]
    if anchor is None:
        biggest = component == _largest(component, votes)
        group = _largest(np.where(biggest, strong, -1), votes)
    else:
        group = int(strong[anchor])
    core = np.flatnonzero(strong == group)
    from_core = _reached(beat, int(core[0]))
    to_core = _reached(beat.T, int(core[0]))
    labels = sorted(set(component.tolist()), key=lambda label: -np.sum(component == label))
    return Connectivity(
        components=tuple(tuple(np.flatnonzero(component == k).tolist()) for k in labels),
        core=core,
        above=np.flatnonzero(to_core & ~from_core),
        below=np.flatnonzero(from_core & ~to_core),
        apart=np.flatnonzero(~from_core & ~to_core),
    )


def finite_nu(counts: Counts) -> bool:
    """Tell whether Davidson's ν has a finite estimate, among models that are joined both ways.

    It has none if strengths u exist with u_i − u_j ≥ 1 for each win of i over j and |u_i − u_j| ≤ 1
    for each tie: along them, with log ν, the likelihood never falls. Such u exist unless there is a
    cycle of battles with more wins, all in its direction, than ties, as a win and a loss of one
    pair are: a negative one in a graph with −1 for a win and 1 for a tie [1]_.

    References
    ----------
    .. [1] Cormen, Leiserson, Rivest & Stein (2009), Introduction to Algorithms, 3rd ed., sec. 24.4,
       theorem 24.9.
    """
    won = counts.wins > 0
    if (won & won.T).any():
        return True
    length = np.where(won, -1.0, np.where(counts.ties > 0, 1.0, np.inf))
    distance = np.zeros(len(won))
    for _ in range(len(won)):
        shorter = np.minimum(distance, (distance[:, None] + length).min(axis=0))
        if np.array_equal(shorter, distance):
            return False
        distance = shorter
    return True


def _largest(labels: NDArray[np.int32], votes: NDArray[np.float64]) -> int:
    """Label with the most models, then the most votes; -1 is no label."""
    found: list[int] = sorted(set(labels.tolist()) - {-1})
    sizes = {k: (int(np.sum(labels == k)), float(votes[labels == k].sum())) for k in found}
    return max(found, key=lambda label: sizes[label])


def _everyone(n_models: int) -> Connectivity:
    none = np.empty(0, np.intp)
    core = np.arange(n_models)
    return Connectivity(
        components=(tuple(range(n_models)),), core=core, above=none, below=none, apart=none
    )


def _reached(beat: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """Models that can be reached from one along ``beat``, ``(m,)``."""
    reached = np.zeros(len(beat), dtype=bool)
    new = np.arange(len(beat)) == start
    while new.any():
        reached |= new
        new = beat[new].any(axis=0) & ~reached
    return reached
