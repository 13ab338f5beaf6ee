"""Parity's own vote files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.vote_batches import read_vote_columns

__all__ = ["read_votes_files"]


def read_votes_files(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read vote files as ``parity rate`` takes them, and ``parity export votes`` writes them.

    ``id`` is kept where there is one; a vote without is known by what it says, and one that says
    the same as an earlier one in its file is another vote. Names of models stand for the
    workspace's own, where it has just one of that name.
    """
    for path in paths:
        yield from read_vote_columns(path, context)
