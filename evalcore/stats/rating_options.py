"""How votes become ratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalcore.errors import InputError
from evalcore.stats.clusters import ClusterName
from evalcore.stats.counts import BothBad

__all__ = ["RatingOptions", "Ties"]

_FURTHEST_CENTRE = 1e6

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
    """Rating of the anchor or of the mean; from −10⁶ to 10⁶, where a rating keeps its digits."""

    def __post_init__(self) -> None:
        """Check the centre."""
        if not abs(self.centre) <= _FURTHEST_CENTRE:
            raise InputError(f"centre must lie between -1e6 and 1e6; got {self.centre}")
