"""A leaderboard in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.records import Leaderboard
from leaderboards.rounding import decimals, with_interval

__all__ = ["listed", "summary"]

_NAMED = 3


def summary(leaderboard: Leaderboard) -> str:
    """Say who leads, how clearly, and on what."""
    ranked = leaderboard.ranked
    if not ranked:
        return "No model has a rank: " + "; ".join(leaderboard.warnings[-1:])
    places = decimals(standing.rating for standing in ranked)
    leader = ranked[0]
    said = with_interval(leader.rating, places)
    what = f"{leader.model.name} leads with {said} ({leaderboard.rating_title})"
    if len(ranked) == 1:
        return f"{what}; no other model is ranked."
    leaders = leaderboard.leaders
    tied = [item.model.name for item in ranked[1:] if item.model.fingerprint in leaders]
    if not tied:
        return f"{what}; it is significantly better than {_everybody(len(ranked) - 1)}."
    return f"{what}; it is not significantly different from {listed(tied)}."


def listed(names: Sequence[str]) -> str:
    """Join names with commas and "and"; beyond three the rest is counted."""
    shown = list(names[:_NAMED])
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _everybody(n_others: int) -> str:
    return "the other model" if n_others == 1 else f"all {n_others} others"
