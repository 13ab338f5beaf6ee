"""Votes for a command: from a file, or from the workspace."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from evalcore.judges.flagged import flagged_models
from evalcore.records import Comparison, RaterKind
from evalcore.store import Store, open_store
from evalcore.votes import Votes, read_votes

__all__ = ["load_votes", "named_comparisons", "unique_names"]


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
            kept = _without_flagged(opened, named_comparisons(opened, kinds), kinds)
            return Votes.from_comparisons(kept, source=opened.where)
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


def _without_flagged(
    store: Store, comparisons: Iterable[Comparison], kinds: Sequence[RaterKind]
) -> list[Comparison]:
    """Leave out what judges say of models that speak to judges, and say so."""
    flagged = flagged_models(store) if "judge" in kinds else {}
    names = unique_names(store)
    flags = {names.get(model, model): words for model, words in flagged.items()}
    kept, left_out = [], Counter[str]()
    for item in comparisons:
        found = flags.keys() & {item.model_a, item.model_b}
        if found and item.rater_kind == "judge":
            left_out.update(found)
        else:
            kept.append(item)
    for name, count in left_out.items():
        print(f"{count} verdicts on {name} left out, flagged: {flags[name]}", file=sys.stderr)
    return kept


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
