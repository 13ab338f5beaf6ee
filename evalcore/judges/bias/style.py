"""Whether a judge prefers answers for being long, or for how they are set out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.regression import Fit, fit, within
from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.style_features import STYLE_FEATURES, feature_differences

__all__ = ["LongerWins", "StyleEffect", "longer_wins", "style_differences", "style_effects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleEffect:
    """How much a feature of style moves the win rate, other features held equal."""

    feature: str
    effect: Estimate
    """Change of the win rate by a typical difference in the feature, merit included."""
    beyond_humans: Estimate | None
    """What the judge adds to people's preference for it; None without votes on the same answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LongerWins:
    """How often the longer answer wins, a tie counting half."""

    judge: Estimate
    humans: Estimate | None
    """Of votes on the same answers; None without any."""


def style_effects(pairs: JudgedPairs, *, level: float = 0.95) -> tuple[StyleEffect, ...]:
    """Estimate the effects of length, headings, lists, bold passages and code together.

    γ in E[score of A] = q + β · place + Σ γ_k x_k, with q the pair of models' own win rate and x
    the normalised difference (a − b)/(a + b) in units of its root mean square
    (:func:`~evalcore.stats.style_features.feature_differences`). Longer answers can be better ones:
    where people voted on the same answers, the same model of the judge's score minus theirs gives
    what the judge adds.

    Returns
    -------
    tuple of StyleEffect
        Of the features in which answers differ; none where the answers are not known.
    """
    known = _known(pairs)
    names, differences = style_differences(known)
    if not names:
        return ()
    everything = np.column_stack([differences, known.place])
    plain = _within_fit(everything, known.score, known)
    humans = ~np.isnan(known.reference)
    beyond = None
    if humans.any():
        gap = known.score[humans] - known.reference[humans]
        beyond = _within_fit(everything[humans], gap, known.take(humans))
    return tuple(
        StyleEffect(
            feature=name,
            effect=plain.estimate(place, level=level),
            beyond_humans=None if beyond is None else beyond.estimate(place, level=level),
        )
        for place, name in enumerate(names)
    )


def longer_wins(pairs: JudgedPairs, *, level: float = 0.95) -> LongerWins | None:
    """Estimate how often the longer answer wins; None where no lengths differ or are known."""
    known = _known(pairs)
    if "length" not in known.features:
        return None
    lengths = known.features["length"]
    rows = known.take(lengths[:, 0] != lengths[:, 1])
    if not len(rows):
        return None
    longer_is_a = rows.features["length"][:, 0] > rows.features["length"][:, 1]
    voted = ~np.isnan(rows.reference)

    def share(scores: NDArray[np.float64], chosen: NDArray[np.bool_]) -> Estimate:
        of_longer = np.where(longer_is_a, scores, 1.0 - scores)[chosen]
        return mean_estimate(of_longer, groups=rows.example[chosen], level=level, bounds=(0.0, 1.0))

    return LongerWins(
        judge=share(rows.score, np.ones(len(rows), bool)),
        humans=share(rows.reference, voted) if voted.any() else None,
    )


def style_differences(pairs: JudgedPairs) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the features in which answers differ, and the differences, shape (n, n_features)."""
    names = tuple(
        name
        for name in STYLE_FEATURES
        if name in pairs.features and np.any(np.ptp(pairs.features[name], axis=1) > 0)
    )
    if not names:
        return (), np.empty((len(pairs), 0))
    return names, feature_differences(pairs.features, names).T


def _known(pairs: JudgedPairs) -> JudgedPairs:
    """Keep the verdicts that could be read on answers that are known."""
    known = pairs.scored
    for values in pairs.features.values():
        known = known & ~np.isnan(values).any(axis=1)
    return pairs.take(known)


def _within_fit(
    design: NDArray[np.float64], target: NDArray[np.float64], pairs: JudgedPairs
) -> Fit:
    return fit(within(design, pairs.pair), within(target, pairs.pair), pairs.example)
