"""The workspace's facts into other tools' files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalcore.exchange.judged import judged_comparisons, public_rater
from evalcore.exchange.vote_exports import FORMATS, why_no_row
from evalcore.exchange.writing import write_rows
from evalcore.records import RaterKind
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store

__all__ = ["Exported", "export_votes", "vote_rows"]


@dataclass(kw_only=True)
class Exported:
    """What became of the workspace's facts."""

    path: Path
    format: str
    n_facts: int = 0
    """Votes, answers or runs that were there to be written."""
    n_rows: int = 0
    """Rows, or files, that were written."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Facts that made no row, by reason."""


def export_votes(form: str, path: Path, store: Store, *, kinds: Sequence[RaterKind]) -> Exported:
    """Write votes in a format of :data:`~evalcore.exchange.vote_exports.FORMATS`.

    Raises
    ------
    InputError
        For an ending that the format can't have, and a file that can't be written.
    """
    done = Exported(path=path, format=form)
    rows = vote_rows(store, kinds) if form == "votes" else _judged_rows(form, store, kinds, done)
    write_rows(path, _counted(rows, done))
    if form == "votes":
        done.n_facts = done.n_rows
    return done


def vote_rows(store: Store, kinds: Sequence[RaterKind]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a vote file, with models' names, oldest first."""
    names = _Names(unique_names(store))
    for row in store.vote_rows(kinds=kinds):
        own_id, example_id, a, b, winner, rater, kind, swapped, created, explanation, source = row
        yield {
            "id": own_id,
            "example_id": example_id,
            "model_a": names[a],
            "model_b": names[b],
            "winner": winner,
            "rater": public_rater(rater, kind, source) if source is None else rater,
            "rater_kind": kind,
            "swapped": swapped,
            "created_utc": created,
            "explanation": explanation,
        }


class _Names(dict[str, str]):
    """Names by fingerprint; what has none goes by itself."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)

    def __missing__(self, key: str) -> str:
        return key


def _judged_rows(
    form: str, store: Store, kinds: Sequence[RaterKind], done: Exported
) -> Iterator[dict[str, Any]]:
    for judged in judged_comparisons(store, kinds=kinds):
        done.n_facts += 1
        rows = list(FORMATS[form](judged))
        if not rows:
            done.left_out[why_no_row(judged)] += 1
        yield from rows


def _counted(rows: Iterator[dict[str, Any]], done: Exported) -> Iterator[dict[str, Any]]:
    for row in rows:
        done.n_rows += 1
        yield row
