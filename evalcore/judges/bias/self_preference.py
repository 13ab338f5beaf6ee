"""Whether a judge prefers its own answers, beyond what others think of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.regression import fit
from evalcore.judges.bias.style import style_differences
from evalcore.records import Estimate

__all__ = ["ComparedWith", "SelfPreference", "self_preference"]

ComparedWith = Literal["people", "other judges"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfPreference:
    """How much oftener a judge's own model wins when the judge itself judges."""

    models: tuple[str, ...]
    """The judge's own."""
    compared_with: ComparedWith
    effect: Estimate
    """Win rate by the judge minus that by others on the same answers."""
    at_equal_style: Estimate | None
    """The same for answers of equal length and style; None where the answers are not known."""


def self_preference(
    pairs: JudgedPairs,
    own: Collection[str],
    *,
    compared_with: ComparedWith = "people",
    level: float = 0.95,
) -> SelfPreference | None:
    """Estimate how a judge favours its own answers.

    δ in E[judge's score of A − others' score of A] = β · place + δ · own + Σ γ_k x_k over answers
    that both judged, own being 1 where A is the judge's and −1 where B is. How good the answers are
    drops out of the difference. It is what Zheng et al. [1]_ measure, with the judge's bias for a
    place and for style taken out; a judge who exaggerates all differences also exaggerates its own
    model's.

    Parameters
    ----------
    pairs
        With the others' mean scores as reference, and features where the answers are known.
    own
        The judge's own models.
    compared_with
        Who the others are.
    level
        Confidence level.

    Returns
    -------
    SelfPreference or None
        None if no own model met another one on answers that others judged, too.

    References
    ----------
    .. [1] Zheng et al. (2023), Judging LLM-as-a-judge with MT-bench and Chatbot Arena,
       arXiv 2306.05685, section 3.3.
    """
    names = tuple(name for name in pairs.models if name in own)
    codes = np.array([pairs.models.index(name) for name in names], np.intp)
    rows = pairs.take(pairs.scored & ~np.isnan(pairs.reference))
    is_own = np.isin(rows.a, codes).astype(float) - np.isin(rows.b, codes)
    if not is_own.any():
        return None
    gap = rows.score - rows.reference
    base = np.column_stack([is_own, rows.place])
    known = np.ones(len(rows), bool)
    for values in rows.features.values():
        known &= ~np.isnan(values).any(axis=1)
    at_equal_style = None
    features, differences = style_differences(rows.take(known))
    if features and is_own[known].any():
        design = np.column_stack([base[known], differences])
        at_equal_style = fit(design, gap[known], rows.example[known]).estimate(0, level=level)
    return SelfPreference(
        models=names,
        compared_with=compared_with,
        effect=fit(base, gap, rows.example).estimate(0, level=level),
        at_equal_style=at_equal_style,
    )
