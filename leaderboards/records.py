"""What a leaderboard consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalcore.records import Estimate, RaterKind, Standing
from evalcore.votes.columns import Votes
from leaderboards.pairs import Pair, Pairs
from leaderboards.request import BoardRequest, By
from leaderboards.task_runs import TaskRuns

__all__ = [
    "Column",
    "Cost",
    "Deprecation",
    "Leaderboard",
    "Pair",
    "SharedAgreement",
    "Source",
    "SourceRow",
    "Versus",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """A model against the reference."""

    win_rate: Estimate
    """Ties count half; without votes, or for the reference itself, its value is nan."""
    wins: int
    ties: int
    losses: int
    p_difference: float
    p_parity: float
    """Of a win rate outside the margin."""
    smallest_margin: float
    """Least margin at which parity would be shown."""
    verdict: str
    """In words, with the margin where it claims parity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """What one kind of rater says of a model."""

    rating: Estimate
    """On the Elo scale; infinite for a model that won, or lost, everything."""
    rank: int | None
    """Among the models that this kind of rater compared; None if it can't be compared."""
    rank_low: int | None
    rank_high: int | None
    n_comparisons: int
    versus: Versus | None
    """None without a reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Comparisons by raters of one kind, and the ratings that follow from them."""

    kind: RaterKind
    title: str
    """Such as ``human votes``; simulated ones are called that."""
    rows: Mapping[str, SourceRow]
    """By fingerprint; models that it did not compare are missing."""
    raters: tuple[str, ...]
    """Judges by name; people are counted only."""
    n_comparisons: int
    n_raters: int
    n_examples: int
    method: str
    scale: str
    warnings: tuple[str, ...]
    pairs: Pairs
    """Every two models that have a rating, on the Elo scale."""
    votes: Votes = field(repr=False)
    """The comparisons themselves; models go by fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedAgreement:
    """Judges and people on the same answers."""

    n_pairs: int
    """Verdicts beside votes on the same two answers."""
    n_units: int
    """Pairs of answers that both looked at."""
    share: Estimate
    """Of equal labels, a tie being one."""
    kappa: Estimate
    """Cohen's, whichever model is called A."""
    ac1: Estimate
    """Gwet's, which a rare label does not bring down."""
    by_model: Mapping[str, Estimate]
    """Share of equal labels on pairs of answers with a model in it, by fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a variant takes; nan where nobody knows."""

    training_usd: float
    """Published, of making it from its base."""
    training_flops: float
    """Compute that trained its base, as 6 operations for each weight and token."""
    api_usd: float
    """Paid for its answers in this workspace."""
    disk_bytes: float
    memory_bytes: float
    """Highest resident memory."""
    decode_tokens_per_s: float
    prefill_tokens_per_s: float
    joules_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """Since when a model is not to be used any more, and why."""

    created_utc: str
    reason: str


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
    is_share: bool
    """Whether the rating rests on it, and it is a mean of values in [0, 1]; more is better."""
    runs: TaskRuns
    """By fingerprint; a model that was not run on the task is missing."""
    pairs: Pairs
    """Every two of its models, on the scale of the examples' values."""
    order: tuple[str, ...]
    """Fingerprints from best to worst."""

    @property
    def best(self) -> tuple[str, ...]:
        """The best model's fingerprint, and those of all that are not significantly different."""
        return self.pairs.not_worse(self.order)

    @property
    def tie_groups(self) -> Mapping[str, str]:
        """Letters by fingerprint; models that share one are not significantly different here."""
        return self.pairs.letters(self.order)

    @property
    def key(self) -> str:
        """Name of the column: ``task/metric``."""
        return f"{self.task}/{self.metric}"

    def has_value(self, fingerprint: str) -> bool:
        """Tell whether a model was run on the task and at least one example could be scored."""
        head = self.runs.heads.get(fingerprint)
        return head is not None and not math.isnan(head.value)

    @property
    def with_values(self) -> frozenset[str]:
        """Fingerprints of the models of which that can be said."""
        heads = self.runs.heads.items()
        return frozenset(name for name, head in heads if not math.isnan(head.value))

    def pair(self, model_a: str, model_b: str) -> Pair | None:
        """Compare two models, by fingerprint and in either order; None if one is missing."""
        return self.pairs.find(model_a, model_b)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """Models in order, and everything that the order rests on."""

    standings: tuple[Standing, ...]
    """Best first; models without a rank last."""
    columns: tuple[Column, ...]
    """Those in the rating first, each part in the order of the task names."""
    pairs: Pairs
    """Every two ranked models, compared on the rating."""
    rating_title: str
    """What the rating is, in a few words."""
    rating_higher_is_better: bool
    confidence_level: float
    """Of all intervals; 1 minus it is the level of all tests."""
    warnings: tuple[str, ...]
    """What a reader has to know."""
    request: BoardRequest
    """What was asked for."""
    ranked_by: By
    """What the rating and the rank rest on."""
    sources: tuple[Source, ...] = ()
    """Comparisons, in the order human, judge, rule, simulated; those that there are."""
    reference: str | None = None
    """Fingerprint of the model that the others are compared with."""
    score_versus: Mapping[str, Versus] = field(default_factory=dict)
    """By fingerprint: automated scores against the reference's, example by example."""
    agreement: SharedAgreement | None = None
    """Judges beside people; None where they have no answers in common."""
    costs: Mapping[str, Cost] = field(default_factory=dict)
    """By fingerprint."""
    deprecated: Mapping[str, Deprecation] = field(default_factory=dict)
    """By fingerprint, of the models that are not to be used any more; their rows stay."""

    def source(self, kind: str) -> Source | None:
        """Return the comparisons by one kind of rater; None if there are none."""
        return next((source for source in self.sources if source.kind == kind), None)

    @property
    def rating_is_share(self) -> bool:
        """Whether the rating is a mean of values in [0, 1] of which more is better."""
        return self.ranked_by == "score" and any(column.is_share for column in self.columns)

    @property
    def ranked(self) -> tuple[Standing, ...]:
        """The standings that have a rank."""
        return tuple(standing for standing in self.standings if standing.rank is not None)

    @property
    def leaders(self) -> tuple[str, ...]:
        """Fingerprints of the first model and of all that are not significantly different."""
        return self.pairs.not_worse([standing.model.fingerprint for standing in self.ranked])

    def pair(self, model_a: str, model_b: str) -> Pair | None:
        """Compare two models on the rating, by fingerprint; None if one has no rank."""
        return self.pairs.find(model_a, model_b)
