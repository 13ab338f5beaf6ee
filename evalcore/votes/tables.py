"""Votes from columns and from comparisons that are in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from evalcore.errors import VotesError
from evalcore.records import Comparison
from evalcore.votes.columns import Votes
from evalcore.votes.encode import VotesBuilder
from evalcore.votes.rows import add_rows
from evalcore.votes.schema import as_text, present_columns, wanted_columns

__all__ = ["votes_from_columns", "votes_from_comparisons"]

_FIELDS = tuple(field.name for field in fields(Comparison) if field.name in wanted_columns(()))


def votes_from_columns(
    columns: Mapping[str, Any], *, features: Sequence[str], source: str
) -> Votes:
    """See :meth:`Votes.from_columns`."""
    present = present_columns(list(columns), features, source)
    builder = VotesBuilder(source, features=features, unit="row")
    try:
        arrays = {name: as_text(name, columns[column]) for name, column in present.items()}
    except pa.ArrowException as error:
        raise VotesError(f"columns must hold text or numbers ({source}): {error}") from error
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise VotesError(f"columns must be of equal length; got {lengths} ({source})")
    builder.add(arrays, range(1, lengths["winner"] + 1))
    return builder.build()


def votes_from_comparisons(comparisons: Iterable[Comparison], *, source: str) -> Votes:
    """See :meth:`Votes.from_comparisons`."""
    builder = VotesBuilder(source, unit="comparison")
    rows = (
        (number, {name: getattr(comparison, name) for name in _FIELDS})
        for number, comparison in enumerate(comparisons, 1)
    )
    add_rows(builder, rows, wanted_columns(()))
    return builder.build()
