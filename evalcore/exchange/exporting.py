"""The workspace's facts into other tools' files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evalcore.exchange.judged import judged_comparisons, public_rater
from evalcore.exchange.vote_exports import FORMATS, why_no_row
from evalcore.exchange.writing import write_columns, write_rows
from evalcore.records import RaterKind
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store
from evalcore.store.store import VOTE_FIELDS

__all__ = ["Exported", "export_votes"]


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
    if form == "votes":
        write_columns(path, _vote_columns(store, kinds, done))
        done.n_facts = done.n_rows
    else:
        write_rows(path, _counted(_judged_rows(form, store, kinds, done), done))
    return done


def _vote_columns(
    store: Store, kinds: Sequence[RaterKind], done: Exported
) -> Iterator[dict[str, Sequence[Any]]]:
    """Yield the columns of a vote file, some thousand rows at a time, oldest first."""
    names = _Names(unique_names(store))
    for *plain, source in store.vote_columns(kinds=kinds):
        columns = dict(zip(VOTE_FIELDS, plain, strict=True))
        for side in ("model_a", "model_b"):
            columns[side] = list(map(names.__getitem__, columns[side]))
        if None in source:
            people = zip(columns["rater"], columns["rater_kind"], source, strict=True)
            columns["rater"] = [public_rater(*person) for person in people]
        done.n_rows += len(source)
        yield columns


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
