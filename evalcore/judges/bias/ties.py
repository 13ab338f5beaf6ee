"""How readily a judge calls a tie, beside people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.stats.labels import Labels, pair_labels

__all__ = ["Ties", "tie_shares"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """Shares of ties."""

    judge: Estimate
    """Of the judge's verdicts, merged where it judged both orders."""
    people: Estimate | None
    """Of people's votes on the same answers; None without any."""
    difference: Estimate | None
    """The judge's share minus theirs on the same answers: below 0, it ties too seldom."""


def tie_shares(given: Labels, judge: str, people: list[str], *, level: float = 0.95) -> Ties:
    """Compare how often a judge and people call a tie.

    Parameters
    ----------
    given
        Labels of the judge and of people; tie, or the winner.
    judge
        The judge among the raters.
    people
        The people among them.
    level
        Confidence level.
    """
    own = given.labels[given.raters == judge] == "tie"
    verdicts, votes, units = pair_labels(given, [judge], people)
    if not len(units):
        share = proportion_estimate(own.astype(float), level=level)
        return Ties(judge=share, people=None, difference=None)
    ties, theirs = (np.asarray(labels == "tie", float) for labels in (verdicts, votes))
    return Ties(
        judge=proportion_estimate(own.astype(float), level=level),
        people=proportion_estimate(theirs, groups=units, level=level),
        difference=mean_estimate(ties - theirs, groups=units, level=level, bounds=(-1.0, 1.0)),
    )
