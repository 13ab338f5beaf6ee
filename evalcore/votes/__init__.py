"""Votes in columns: from files, from comparisons or from arrays, checked on the way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalcore.votes.columns import WINNERS, Categories, Votes

if TYPE_CHECKING:
    from evalcore.votes.files import read_votes

__all__ = ["WINNERS", "Categories", "Votes", "read_votes"]


def __getattr__(name: str) -> object:
    """Load what reads files when somebody asks for it: a leaderboard has no use for pandas."""
    if name == "read_votes":
        from evalcore.votes.files import read_votes

        return read_votes
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
