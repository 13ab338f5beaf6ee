"""How far a judge agrees with people, in all and by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Estimate
from evalcore.stats.agreement import cohen_kappa, raw_agreement
from evalcore.stats.labels import Labels, pair_labels

__all__ = ["Agreement", "Agreements", "agreement_with_people"]

Categories = Mapping[Any, str]
"""Category of each unit, as far as units have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement over pairs of labels of the same answers."""

    share: Estimate
    """Of equal labels, a tie being a label of its own; by chance about a third."""
    kappa: Estimate
    """Beyond chance, whichever model is called A."""
    share_decided: Estimate
    """Of equal labels where neither is a tie; by chance about a half."""
    kappa_decided: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreements:
    """A judge against people, and people against each other."""

    with_people: Agreement
    between_people: Agreement | None
    """The yardstick; None where no two people labelled the same answers."""
    by_category: Mapping[str, Agreement]
    """With people; empty where examples have no categories."""


def agreement_with_people(
    given: Labels,
    judge: str,
    people: list[str],
    *,
    categories: Categories | None = None,
    level: float = 0.95,
) -> Agreements | None:
    """Compare a judge's labels with people's.

    Both of MT-bench's setups: all labels, with a tie as a label (S1), and labels that are no ties
    (S2). Intervals are clustered by the pair of answers.

    Returns
    -------
    Agreements or None
        None where the judge and people have no answers in common.
    """
    verdicts, votes, units = pair_labels(given, [judge], people)
    if not len(units):
        return None
    first, second, shared = pair_labels(given, people)
    of_unit = np.array([(categories or {}).get(unit, "") for unit in units.tolist()])
    return Agreements(
        with_people=_agreement(verdicts, votes, units, level=level),
        between_people=_agreement(first, second, shared, level=level) if len(shared) else None,
        by_category={
            str(name): _agreement(
                *(labels[of_unit == name] for labels in (verdicts, votes, units)), level=level
            )
            for name in np.unique(of_unit)
            if name
        },
    )


def _agreement(
    first: NDArray[Any], second: NDArray[Any], units: NDArray[Any], *, level: float
) -> Agreement:
    decided = (first != "tie") & (second != "tie")

    def kappa(chosen: NDArray[np.bool_]) -> Estimate:
        return cohen_kappa(
            first[chosen], second[chosen], symmetric=True, groups=units[chosen], level=level
        )

    def share(chosen: NDArray[np.bool_]) -> Estimate:
        return raw_agreement(first[chosen], second[chosen], groups=units[chosen], level=level)

    everything = np.ones(len(first), bool)
    return Agreement(
        share=share(everything),
        kappa=kappa(everything),
        share_decided=share(decided),
        kappa_decided=kappa(decided),
    )
