"""Votes in columns: from files, from comparisons or from arrays, checked on the way in."""

from __future__ import annotations

from evalcore.votes.columns import WINNERS, Categories, Votes
from evalcore.votes.files import read_votes

__all__ = ["WINNERS", "Categories", "Votes", "read_votes"]
