"""Letters that tell which models are not significantly different."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from evalcore.errors import InputError

__all__ = ["tie_letters"]


def tie_letters(order: Sequence[int], significant: ArrayLike) -> list[str]:
    """Mark models that are not significantly different by a common letter.

    The compact letter display [1]_: two models share a letter if and only if they are not
    significantly different. A letter stands for a largest set of models of which no two differ; all
    such sets are found by Bron and Kerbosch's algorithm with pivots [2]_, which gives the same
    letters as insertion and absorption in less time. The best model has an ``a``.

    Parameters
    ----------
    order
        The models' positions from best to worst, a permutation of range(n_models).
    significant
        Symmetric, shape (n_models, n_models): True where two models differ significantly.

    Returns
    -------
    list of str
        Letters of each model by position, shape (n_models,); after z comes aa.

    References
    ----------
    .. [1] Piepho (2004), An algorithm for a letter-based representation of all-pairwise
       comparisons, J. Comp. Graph. Statistics 13, section 3.
    .. [2] Bron & Kerbosch (1973), Algorithm 457: finding all cliques of an undirected graph,
       Communications of the ACM 16, 575-577.

    Examples
    --------
    >>> tie_letters([0, 1, 2], [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    ['a', 'ab', 'b']
    """
    differs = np.asarray(significant, dtype=bool)
    n_models = len(order)
    if sorted(order) != list(range(n_models)) or differs.shape != (n_models, n_models):
        raise InputError("order must be a permutation and significant a square matrix to match it")
    differs = differs | differs.T
    alike = [
        sum(1 << other for other in np.flatnonzero(~differs[model][list(order)]).tolist())
        & ~(1 << place)
        for place, model in enumerate(order)
    ]
    members = sorted(_places(group) for group in _largest_groups(alike))
    letters = [""] * n_models
    for index, places in enumerate(members):
        for place in places:
            letters[order[place]] += _letter(index)
    return letters


def _largest_groups(alike: Sequence[int]) -> list[int]:
    """Find all largest sets of places that are pairwise alike, as bit masks.

    ``alike`` has for each place the bit mask of the others that it is like.
    """
    found: list[int] = []
    todo = [(0, (1 << len(alike)) - 1, 0)] if alike else []
    while todo:
        group, candidates, excluded = todo.pop()
        if not candidates | excluded:
            found.append(group)
            continue
        pivot = max(
            _places(candidates | excluded), key=lambda at: (alike[at] & candidates).bit_count()
        )
        for place in _places(candidates & ~alike[pivot]):
            todo.append((group | 1 << place, candidates & alike[place], excluded & alike[place]))
            candidates &= ~(1 << place)
            excluded |= 1 << place
    return found


def _places(mask: int) -> list[int]:
    """Positions of the bits that are set, growing."""
    places = []
    while mask:
        lowest = mask & -mask
        places.append(lowest.bit_length() - 1)
        mask ^= lowest
    return places


def _letter(index: int) -> str:
    letters = ""
    index += 1
    while index:
        index, last = divmod(index - 1, 26)
        letters = chr(ord("a") + last) + letters
    return letters
