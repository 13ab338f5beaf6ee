"""Studies of people's votes, for mirrors: what they asked, and what came of those that are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import sqlalchemy as sa

from evalcore.hashing import content_hash
from evalcore.records import Comparison, Estimate
from evalcore.stats.agreement import fleiss_kappa
from evalcore.stats.labels import Labels
from evalcore.stats.parity import parity_test
from evalcore.stats.win_rate import PairVotes, win_rate
from evalcore.store import Store
from evalcore.votes.columns import Votes

__all__ = ["PairOutcome", "StudyOutcome", "study_outcomes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOutcome:
    """Two models of a study compared."""

    model_a: str
    model_b: str
    win_rate: Estimate
    p_parity: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """A study; what it hides while it is under way is empty."""

    name: str
    status: str
    study_hash: str
    settings: Mapping[str, Any]
    created_utc: str
    n_items: int
    n_votes: int
    n_raters: int
    median_s: float
    """Of the time that a vote took, as the server knows; nan without votes."""
    kappa: Estimate | None
    """Fleiss'."""
    pairs: tuple[PairOutcome, ...]
    comparisons: tuple[Comparison, ...]
    """With pseudonyms of their own for raters."""

    @property
    def is_over(self) -> bool:
        """Whether its results may be seen."""
        return self.status == "locked"


def study_outcomes(store: Store) -> list[StudyOutcome]:
    """Return all studies by name; results only of those that are locked."""
    return [_outcome(store, row) for row in store.study_rows()]


def _outcome(store: Store, row: sa.Row[Any]) -> StudyOutcome:
    votes = store.study_votes(row.name)
    is_over = row.status == "locked"
    compared = (
        [_pseudonymous(item) for item in store.study_comparisons(row.name)] if is_over else []
    )
    columns = Votes.from_comparisons(compared, source=row.name) if compared else None
    times = [vote.elapsed_ms / 1000 for vote in votes if vote.elapsed_ms is not None]
    return StudyOutcome(
        name=row.name,
        status=row.status,
        study_hash=row.study_hash,
        settings=row.settings,
        created_utc=row.created_utc,
        n_items=row.n_items,
        n_votes=len(votes),
        n_raters=len({vote.rater for vote in votes}),
        median_s=median(times) if times else float("nan"),
        kappa=None if columns is None else fleiss_kappa(Labels.from_votes(columns), symmetric=True),
        pairs=() if columns is None else tuple(_pairs(columns, row.settings)),
        comparisons=tuple(compared),
    )


def _pairs(votes: Votes, settings: Mapping[str, Any]) -> Iterator[PairOutcome]:
    margin = float(settings.get("margin", 0.05))
    low, high = np.minimum(votes.model_a, votes.model_b), np.maximum(votes.model_a, votes.model_b)
    for first, second in sorted(set(zip(low.tolist(), high.tolist(), strict=True))):
        names = votes.models[first], votes.models[second]
        rate = win_rate(PairVotes.from_votes(votes, *names))
        test = parity_test(rate, margin=margin)
        yield PairOutcome(
            model_a=names[0],
            model_b=names[1],
            win_rate=rate.estimate,
            p_parity=test.p_parity,
            verdict=test.words,
        )


def _pseudonymous(comparison: Comparison) -> Comparison:
    return replace(comparison, rater=content_hash(["exported rater", comparison.rater])[:16])
