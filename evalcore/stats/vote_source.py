"""Votes for a command: from a file, or from the workspace."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from evalcore.judges.flagged import flagged_models
from evalcore.records import Comparison, RaterKind
from evalcore.store import Store, open_store
from evalcore.store.store import VOTE_FIELDS
from evalcore.votes import Votes, read_votes
from evalcore.votes.schema import wanted_columns

__all__ = ["load_votes", "named_comparisons", "unique_names"]

_WANTED = [name for name in VOTE_FIELDS if name in wanted_columns(())]


def load_votes(
    path: Path | None,
    workspace: Path,
    store_url: str | None,
    *,
    kinds: Sequence[RaterKind],
    features: Sequence[str] = (),
) -> Votes:
    """Read votes of the kinds wanted from a file, or from the workspace if there is none.

    A file that does not say who voted is taken whole. Models in the workspace go by their names,
    or by their fingerprints where several share a name: their votes must not be mixed. Judges'
    verdicts on models whose answers work on judges are left out. How many votes are left out is
    said on stderr.

    Raises
    ------
    VotesError
        For a file that can't be used, and where no votes are left.
    """
    if path is None:
        with open_store(workspace, store_url, create=False) as opened:
            return _stored_votes(opened, kinds)
    votes = read_votes(path, features=features)
    if votes.rater_kind is None:
        return votes
    unwanted = [kind for kind in votes.rater_kind.names if kind not in kinds]
    codes = [votes.rater_kind.names.index(kind) for kind in unwanted]
    left_out = np.isin(votes.rater_kind.codes, codes)
    if left_out.any():
        n_left_out, by = int(left_out.sum()), ", ".join(unwanted)
        print(f"votes left out: {n_left_out} by {by} raters", file=sys.stderr)
    return votes.take(~left_out)


def _stored_votes(store: Store, kinds: Sequence[RaterKind]) -> Votes:
    """Read votes by the column; a record for each takes five times as long."""
    names = unique_names(store)
    columns: dict[str, list[Any]] = {name: [] for name in _WANTED}
    for *some, _source in store.vote_columns(kinds=kinds):
        for name, added in zip(VOTE_FIELDS, some, strict=True):
            if name in columns:
                columns[name].extend(added)
    for side in ("model_a", "model_b"):
        columns[side] = [names.get(model, model) for model in columns[side]]
    flagged = flagged_models(store) if "judge" in kinds else {}
    flags = {names.get(model, model): words for model, words in flagged.items()}
    if flags:
        columns = _without_flagged(columns, flags)
    if not columns["winner"]:
        return Votes.from_comparisons((), source=store.where)
    return Votes.from_columns(columns, source=store.where)


def _without_flagged(
    columns: Mapping[str, list[Any]], flags: Mapping[str, str]
) -> dict[str, list[Any]]:
    """Leave out what judges say of models that speak to judges, and say so."""
    keep, left_out = [], Counter[str]()
    sides = zip(columns["model_a"], columns["model_b"], columns["rater_kind"], strict=True)
    for first, second, kind in sides:
        found = flags.keys() & {first, second} if kind == "judge" else set()
        left_out.update(found)
        keep.append(not found)
    for name, count in left_out.items():
        print(f"{count} verdicts on {name} left out, flagged: {flags[name]}", file=sys.stderr)
    return {name: list(compress(values, keep)) for name, values in columns.items()}


def named_comparisons(store: Store, kinds: Sequence[RaterKind]) -> Iterator[Comparison]:
    """Yield comparisons with the models' names in place of their fingerprints."""
    names = unique_names(store)
    for comparison in store.comparisons(kinds=kinds):
        first, second = comparison.model_a, comparison.model_b
        yield replace(
            comparison, model_a=names.get(first, first), model_b=names.get(second, second)
        )


def unique_names(store: Store) -> dict[str, str]:
    """Return models' names by fingerprint, of those that share theirs with no other model."""
    models = store.models()
    uses = Counter(spec.name for spec in models.values())
    return {key: spec.name for key, spec in models.items() if uses[spec.name] == 1}
