"""What a stack lab is asked, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evalcore.records import Adapter, Estimate, ModelSpec
from evalcore.stats.coalitions import Design
from evalcore.stats.contributions import Contribution

__all__ = [
    "FullComparison",
    "Namer",
    "PairEffect",
    "StackGeometry",
    "StackReport",
    "StackStudy",
    "TaskEffects",
    "UpdateSize",
    "VariantScores",
    "WeightEffect",
]

Namer = Callable[[tuple[Adapter, ...]], str]
"""Names the variant of the base with these adapters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStudy:
    """A stack, and what to find out about it."""

    stack: ModelSpec
    """Resolved; the base with all its adapters."""
    design: Design
    """Which subsets of the adapters are evaluated."""
    name: Namer
    factors: tuple[float, ...] = ()
    """Multiples of each adapter's own weight that are tried, with the other adapters as they are;
    finite."""
    full: ModelSpec | None = None
    """Resolved; a full fine-tune that the stack is tested against."""
    margin: float = 0.05
    """Half-width of parity with it, in the metric's unit; above 0."""
    level: float = 0.95
    """Confidence level; 1 − level is the level of tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateSize:
    """How large a change of weights is, summed over layers."""

    name: str
    rank: int
    """Numerical rank."""
    nominal_rank: int
    """Rank that the factors' shapes permit."""
    norm: float
    """Frobenius norm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackGeometry:
    """The adapters' changes of the base's weights."""

    adapters: tuple[UpdateSize, ...]
    stack: UpdateSize
    """Of the summed change."""
    cosines: tuple[tuple[float, ...], ...]
    """Between the adapters' changes, in [−1, 1]; nan for one that changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEffect:
    """How much more two adapters change together than each by itself."""

    first: str
    second: str
    effect: Contribution
    adjusted_p_value: float
    """By Holm over all pairs, on all tasks and their average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightEffect:
    """What another weight of one adapter changes, the others as they are."""

    adapter: str
    factor: float
    """Multiple of the weight in the stack."""
    change: Contribution
    """From the whole stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullComparison:
    """The stack against a full fine-tune."""

    difference: Estimate
    """Stack minus full fine-tune, with the interval of two one-sided tests, of level 1 − 2α."""
    p_difference: float
    margin: float
    smallest_margin: float
    """Least margin at which parity would be shown."""
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEffects:
    """Contributions on one task, or on the average of several."""

    task: str
    metric: str
    is_share: bool
    """Scores lie in [0, 1]: contributions can be told in points of a hundred."""
    higher_is_better: bool
    gain: Contribution
    """The whole stack against the base."""
    shapley: tuple[Contribution, ...]
    """By adapter; they sum to the gain."""
    leave_one_out: tuple[Contribution, ...]
    """By adapter."""
    pairs: tuple[PairEffect, ...]
    weights: tuple[WeightEffect, ...]
    full: FullComparison | None = None
    """None if no full fine-tune was given, or for the average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantScores:
    """A variant and its scores."""

    name: str
    fingerprint: str
    scores: tuple[Estimate, ...]
    """Primary metric, by task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackReport:
    """What a stack lab found."""

    stack: str
    """The whole stack's name."""
    adapters: tuple[str, ...]
    tasks: tuple[TaskEffects, ...]
    average: TaskEffects | None
    """Over all tasks whose scores are shares of which more is better; None for fewer than two."""
    variants: tuple[VariantScores, ...]
    """Every variant that was evaluated."""
    n_orders: int
    """Sampled orders of joining; 0 if every subset was evaluated."""
    full: str | None
    """Name of the full fine-tune."""
    confidence_level: float
    geometry: StackGeometry | None = None

    @property
    def effects(self) -> tuple[TaskEffects, ...]:
        """The average, if there is one, then each task."""
        return ((self.average,) if self.average else ()) + self.tasks
