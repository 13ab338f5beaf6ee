"""Verdicts that other tools left in files, in one form."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from evalcore.records import Comparison, Example, RaterKind, Winner

__all__ = ["ForeignFile", "ForeignVerdict", "HowShown", "winner_of"]

HowShown = Literal["a_first", "b_first", "both_orders", "unknown"]
"""Which answer the judge read first; ``both_orders``: two verdicts merged into one by the tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignVerdict:
    """What a judge, or a person, said of two answers to one prompt."""

    line: int
    """Line of the file, or item of its list, from 1."""
    example: Example
    """The prompt; without messages where the file does not hold it."""
    model_a: str
    model_b: str
    score_a: float
    """How far A is preferred, from 0 to 1, 0.5 a tie; nan = could not be scored."""
    shown: HowShown
    rater: str
    rater_kind: RaterKind
    text: str = ""
    """What the judge wrote."""
    marks: tuple[float, float] | None = None
    """The marks given to A and B, where the judge marked each answer by itself."""
    answer_a: str | None = None
    answer_b: str | None = None
    orders_disagree: bool = False
    """Of verdicts in both orders: they named different winners."""
    cost_usd: float | None = None

    @property
    def winner(self) -> Winner | None:
        """The answer preferred; None if it could not be scored."""
        return winner_of(self.score_a)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """A file's verdicts and what a reader has to know of them."""

    source: str
    """The file."""
    verdicts: tuple[ForeignVerdict, ...]
    """One for each time a judge was asked, in the file's order."""
    comparisons: tuple[Comparison, ...]
    """One for each pair of answers that a judge or person decided on."""
    n_unscored: int
    """Pairs of answers without a comparison, as no verdict could be read."""
    warnings: tuple[str, ...] = field(default=())


def winner_of(score_a: float) -> Winner | None:
    """Turn a score of A into a label; None for nan.

    Examples
    --------
    >>> winner_of(0.7), winner_of(0.5), winner_of(float("nan"))
    ('model_a', 'tie', None)
    """
    if math.isnan(score_a):
        return None
    if score_a == 0.5:
        return "tie"
    return "model_a" if score_a > 0.5 else "model_b"
