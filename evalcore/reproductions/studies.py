"""The studies by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from evalcore.errors import InputError
from evalcore.reproductions.alpaca_eval import reproduce_alpaca_eval
from evalcore.reproductions.mt_bench import reproduce_mt_bench
from evalcore.reproductions.open_assistant import reproduce_open_assistant
from evalcore.reproductions.pandalm import reproduce_pandalm
from evalcore.reproductions.records import Book
from evalcore.reproductions.vicuna import reproduce_vicuna

__all__ = ["STUDIES", "reproduce"]

STUDIES: Mapping[str, Callable[[Path], Book]] = {
    "vicuna": reproduce_vicuna,
    "alpaca_eval": reproduce_alpaca_eval,
    "mt_bench": reproduce_mt_bench,
    "open_assistant": reproduce_open_assistant,
    "pandalm": reproduce_pandalm,
}


def reproduce(study: str, data: Path) -> Book:
    """Compute a study's numbers from the files below a folder.

    Raises
    ------
    InputError
        For an unknown study, and for files that are missing or something else.
    """
    if study not in STUDIES:
        raise InputError(f"STUDY must be one of {', '.join(STUDIES)}; got {study!r}")
    return STUDIES[study](data)
