"""What a quantisation lab is asked, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass

from evalcore.records import Estimate, Example, ModelSpec

__all__ = ["FormReport", "QuantCheck", "QuantReport", "Speed", "TaskChange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantCheck:
    """A model in single precision, and the forms that are held against it."""

    reference: ModelSpec
    """Resolved."""
    forms: tuple[ModelSpec, ...]
    """Resolved; at least one."""
    labels: tuple[str, ...]
    """Short names of the forms."""
    texts: tuple[Example, ...]
    """On which next-token distributions are compared; a text is an example's only message."""
    max_tokens: int = 256
    """Of each text, at most."""
    n_rounds: int = 5
    """Measurements of speed; 0 for none."""
    margin: float = 0.05
    """Half-width of parity, in the metric's unit; above 0."""
    level: float = 0.95
    """Confidence level; 1 − level is the level of tests."""

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The reference, then the forms."""
        return (self.reference, *self.forms)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """What a form changes on one task."""

    task: str
    metric: str
    higher_is_better: bool
    score: Estimate
    """Of the form."""
    difference: Estimate
    """Form minus reference, with the interval of two one-sided tests, of level 1 − 2α."""
    p_value: float
    """Of no difference, two-sided."""
    test: str
    """What the p-value comes from, such as McNemar's test."""
    n_worse: int
    """Examples whose score got worse, such as right answers that became wrong."""
    n_better: int
    n_changed: int | None
    """Answers whose text is another one; None for tasks without answers in words."""
    smallest_margin: float
    """Least margin at which parity would be shown."""
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Measured speed, over rounds."""

    prefill_tokens_per_s: Estimate
    decode_tokens_per_s: Estimate
    joules_per_token: Estimate | None
    """None where this machine doesn't tell its use of energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormReport:
    """A form against the reference."""

    label: str
    """Short name, such as ``nf4``."""
    name: str
    """Of the variant."""
    fingerprint: str
    disk_bytes: float
    """Files that it is loaded from; nan if never measured."""
    weights_bytes: float
    """Memory that its weights take; nan if never measured."""
    kl: Estimate
    """Kullback-Leibler divergence from the reference, nats per token; 0 for itself."""
    same_top: Estimate
    """Share of tokens for which both hold the same one likeliest."""
    speed: Speed | None
    tasks: tuple[TaskChange, ...]
    is_dominated: bool
    """Another form takes no more memory, diverges no more, and is better in one of both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantReport:
    """What a quantisation lab found."""

    reference: str
    forms: tuple[FormReport, ...]
    """The reference itself first."""
    n_tokens: int
    """On which divergences were measured."""
    n_texts: int
    is_interleaved: bool
    """Rounds of speed took turns among all forms; otherwise each form had its rounds alone."""
    energy: str
    """Which counter told the energy, or that this machine doesn't."""
    margin: float
    confidence_level: float
