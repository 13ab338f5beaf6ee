"""What a set of votes can't tell about its models, by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.connectivity import Connectivity, finite_nu
from evalcore.stats.counts import Counts
from evalcore.stats.rating_options import Ties
from evalcore.stats.rating_result import BradleyTerryResult

__all__ = ["graph_warnings", "interval_warnings", "usable_ties"]

_MOST_NAMES = 10


def usable_ties(counts: Counts, wanted: Ties) -> tuple[Ties, tuple[str, ...]]:
    """Fall back to half wins, saying so, where ν has no estimate."""
    if counts.ties.any() and not counts.wins.any():
        return "half", ("every vote is a tie: nothing tells the models apart",)
    if wanted == "davidson" and not counts.ties.any():
        return "half", ("no vote is a tie: ν is 0 and Davidson's model is Bradley–Terry's",)
    if wanted == "davidson" and not finite_nu(counts):
        return "half", (
            "no wins contradict each other but for ties: ν is infinite, ties half wins",
        )
    return wanted, ()


def graph_warnings(models: Sequence[str], graph: Connectivity) -> tuple[str, ...]:
    """Name the models without a finite rating, and why."""
    found = []
    if len(graph.components) > 1:
        groups = "; ".join(_named(models, group) for group in graph.components)
        found.append(f"no battle joins these groups, so only one is rated: {groups}")
    if len(graph.above):
        named = _named(models, graph.above)
        found.append(f"only wins against rated models, so the rating is infinite: {named}")
    if len(graph.below):
        named = _named(models, graph.below)
        found.append(f"only losses against rated models, so the rating is minus infinite: {named}")
    if len(graph.core) == 1 and len(models) > 1:
        named = models[int(graph.core[0])]
        found.append(f"no two models are joined both ways: {named} stands for the scale alone")
    connected = set(graph.components[0]) if len(graph.components) == 1 else set()
    apart = [i for i in graph.apart.tolist() if i in connected]
    if apart:
        found.append(f"not comparable with the rated models: {_named(models, apart)}")
    return tuple(found)


def interval_warnings(result: BradleyTerryResult, clusters: tuple[str, ...]) -> tuple[str, ...]:
    """Name the models with a rating but no interval; an anchor, and a lone model, have none."""
    without = result.without_interval
    if not without or np.isfinite(result.ratings).sum() == 1:
        return ()
    groups = " or ".join(f"{name}s" for name in clusters)
    reason = "ties alone or a single vote"
    if clusters:
        reason = f"fewer than two {groups}, or votes that cancel out within each"
    return (f"{reason}, so no interval: {_named(without, range(len(without)))}",)


def _named(models: Sequence[str], positions: Iterable[int] | NDArray[np.intp]) -> str:
    names = [models[int(i)] for i in positions]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
