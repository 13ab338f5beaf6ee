"""Verdicts that other tools left in files, in one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalcore.judges.merging import winner_of
from evalcore.judges.records import VerdictForm
from evalcore.records import Example, RaterKind, Winner

__all__ = ["ForeignFile", "ForeignVerdict", "Shown"]

Shown = Literal["a_first", "b_first", "both_orders", "unknown"]
"""Which answer the judge read first; ``both_orders``: the tool merged two verdicts into one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignVerdict:
    """What a judge, or a person, said of two answers to one prompt."""

    line: int
    """Line of the file, or item of its list, from 1."""
    example: Example
    """The prompt; without messages where it is not known."""
    model_a: str
    model_b: str
    score_a: float
    """How far A is preferred, from 0 to 1, 0.5 a tie; nan = could not be scored."""
    shown: Shown
    form: VerdictForm
    rater: str
    rater_kind: RaterKind = "judge"
    prompt_version: str = ""
    """Which prompt the judge was given, as far as the file tells."""
    text: str = ""
    """What the judge wrote."""
    marks: tuple[float, float] | None = None
    """The marks of A and B, where the judge gave each answer one."""
    answer_a: str | None = None
    answer_b: str | None = None
    stored_differs: bool = False
    """The file's own score is not what the judge's text or probabilities give; it counts."""
    orders_disagree: bool = False
    """Of two verdicts that the tool merged: they named different winners."""
    cost_usd: float | None = None

    @property
    def winner(self) -> Winner | None:
        """The answer preferred; None if it could not be scored."""
        return winner_of(self.score_a)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """A file's verdicts, and what a reader has to know of them."""

    source: str
    """The file."""
    format: str
    """Name of the format that it was read as."""
    verdicts: tuple[ForeignVerdict, ...]
    """One for each time a judge was asked, in the file's order."""
    warnings: tuple[str, ...] = ()

    @property
    def n_unscored(self) -> int:
        """Verdicts that could not be read."""
        return sum(verdict.winner is None for verdict in self.verdicts)
