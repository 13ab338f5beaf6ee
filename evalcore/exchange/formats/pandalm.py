"""PandaLM's test set and verdicts on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalcore.exchange.records import ImportContext, Parcel
from evalcore.judges.foreign.importing import verdict_parcel
from evalcore.judges.foreign.pandalm import read_pandalm
from evalcore.judges.foreign.reading import foreign_file

__all__ = ["read_pandalm_files"]


def read_pandalm_files(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read ``testset-v1.json``, and judges' verdicts beside it.

    Raises
    ------
    VotesError
        Naming file, row and what is permitted.
    """
    for path in paths:
        foreign = foreign_file("pandalm", path, read_pandalm(path, ()))
        yield verdict_parcel(foreign, source=path, now=context.now)
