"""How votes become ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalcore.stats.clusters import ClusterName
from evalcore.stats.counts import BothBad

__all__ = ["RatingOptions", "Ties"]

Ties = Literal["half", "davidson"]
"""Ties as half wins, or Davidson's tie model, which has a scale of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingOptions:
    """How votes become ratings."""

    ties: Ties = "half"
    both_bad: BothBad = "tie"
    """What a vote for neither answer counts as."""
    clusters: tuple[ClusterName, ...] | None = None
    """What votes depend on each other within; None means raters and examples where given."""
    anchor: str | None = None
    """Model whose rating is the centre by definition; None means the mean of all."""
    centre: float = 1000.0
    """Rating of the anchor or of the mean."""
