"""What a leaderboard consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalcore.records import EvalRun, Standing
from evalcore.stats.paired import PairedDifference

__all__ = ["Column", "Leaderboard", "Pair", "not_worse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two models on the same examples."""

    model_a: str
    """Fingerprint."""
    model_b: str
    """Fingerprint."""
    paired: PairedDifference
    """Model a minus model b, and the raw p-value of no difference."""
    adjusted_p_value: float
    """Holm's, over all pairs of the column or of the rating."""
    significant: bool
    """Whether the adjusted p-value is below 1 - the leaderboard's confidence level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A task's place on the leaderboard: one version of it, and its primary metric."""

    task: str
    metric: str
    higher_is_better: bool
    task_hash: str
    n_examples: int
    in_rating: bool
    """Whether the rating rests on it."""
    runs: Mapping[str, EvalRun]
    """By fingerprint; a model that was not run on the task is missing."""
    pairs: tuple[Pair, ...]
    """Every two of its models, on the scale of the examples' values."""
    tie_groups: Mapping[str, str]
    """Letters by fingerprint; models that share one are not significantly different here."""
    best: tuple[str, ...]
    """The best model's fingerprint, and those of all that are not significantly different."""

    @property
    def key(self) -> str:
        """Name of the column: ``task/metric``."""
        return f"{self.task}/{self.metric}"

    def has_value(self, fingerprint: str) -> bool:
        """Tell whether a model was run on the task and at least one example could be scored."""
        run = self.runs.get(fingerprint)
        return run is not None and not math.isnan(run.estimates[self.metric].value)

    def pair(self, model_a: str, model_b: str) -> Pair | None:
        """Compare two models, by fingerprint and in either order; None if one is missing."""
        return _find(self.pairs, model_a, model_b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Models in order, and everything that the order rests on."""

    standings: tuple[Standing, ...]
    """Best first; models without a rank last."""
    columns: tuple[Column, ...]
    """Those in the rating first, each part in the order of the task names."""
    pairs: tuple[Pair, ...]
    """Every two ranked models, compared on the rating."""
    rating_title: str
    """What the rating is, in a few words."""
    rating_higher_is_better: bool
    confidence_level: float
    """Of all intervals; 1 minus it is the level of all tests."""
    warnings: tuple[str, ...]
    """What a reader has to know."""

    @property
    def ranked(self) -> tuple[Standing, ...]:
        """The standings that have a rank."""
        return tuple(standing for standing in self.standings if standing.rank is not None)

    @property
    def leaders(self) -> tuple[str, ...]:
        """Fingerprints of the first model and of all that are not significantly different."""
        return not_worse(tuple(standing.model.fingerprint for standing in self.ranked), self.pairs)

    def pair(self, model_a: str, model_b: str) -> Pair | None:
        """Compare two models on the rating, by fingerprint; None if one has no rank."""
        return _find(self.pairs, model_a, model_b)


def not_worse(order: tuple[str, ...], pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Find the first of some models and those that don't differ from it significantly."""
    worse = {
        fingerprint
        for pair in pairs
        if pair.significant and order[0] in (pair.model_a, pair.model_b)
        for fingerprint in (pair.model_a, pair.model_b)
    }
    return order[:1] + tuple(item for item in order[1:] if item not in worse)


def _find(pairs: tuple[Pair, ...], model_a: str, model_b: str) -> Pair | None:
    """Find the comparison of two models, whichever of them is its first."""
    wanted = {model_a, model_b}
    return next((pair for pair in pairs if {pair.model_a, pair.model_b} == wanted), None)
