"""Ratings at equal style: Bradley–Terry with features of the two answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.bradley_terry import fit_bradley_terry
from evalcore.stats.clusters import cluster_codes, votes_among
from evalcore.stats.counts import count_votes
from evalcore.stats.covariance import told
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.rating_scale import CoreEstimate, on_elo_scale, rated_models
from evalcore.stats.style_features import feature_differences
from evalcore.stats.style_likelihood import StyleLikelihood
from evalcore.votes.columns import WINNERS, Votes

__all__ = ["StyleResult", "rate_at_equal_style"]

_DEFAULT = RatingOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleResult:
    """Ratings of answers that look alike, and what each feature of style is worth."""

    rating: BradleyTerryResult
    features: tuple[str, ...]
    coefficients: NDArray[np.float64]
    """``(k,)`` log-odds per root mean square of the feature's normalised difference."""
    covariance: NDArray[np.float64]
    """``(k, k)`` of the coefficients."""
    df: NDArray[np.float64]
    """``(k,)`` degrees of freedom of their variances; 0 where the votes give no interval."""

    def coefficient(self, feature: str, *, level: float = 0.95) -> Estimate:
        """Give one feature's coefficient with its interval; nan where the votes give none.

        Raises
        ------
        InputError
            For an unknown feature.
        """
        if feature not in self.features:
            known = ", ".join(self.features)
            raise InputError(f"feature must be one of {known}; got {feature!r}")
        at = self.features.index(feature)
        value = float(self.coefficients[at])
        df = self.df[at] if self.df[at] > 0 else np.nan
        half = float(stats.t.ppf((1 + level) / 2, df) * np.sqrt(max(self.covariance[at, at], 0.0)))
        return Estimate(
            value=value,
            low=value - half,
            high=value + half,
            confidence_level=level,
            method=self.rating.method,
            n=int(self.rating.n_votes),
        )


def rate_at_equal_style(
    votes: Votes, features: Sequence[str], options: RatingOptions = _DEFAULT
) -> StyleResult:
    """Rate models with the style of their answers held equal.

    P(A wins) = σ(θ_A − θ_B + Σ_k β_k x_k), x_k the difference of the k-th feature between A's and
    B's answer (see :func:`evalcore.stats.style_features.feature_differences`); ties are half wins.
    Nothing is regularised: a penalty would shrink β and leave style in the ratings.

    Parameters
    ----------
    votes
        With those features, and more votes than models and features together.
    features
        Which ones.
    options
        Clustering and scale; ``ties`` must be ``half``.

    Returns
    -------
    StyleResult
        Intervals by the sandwich, times n/(n − p) where votes are independent.

    Raises
    ------
    InputError
        For unknown or constant features, features that explain each other, Davidson's ties, or too
        few votes.

    References
    ----------
    Li, Angelopoulos & Chiang (2024), Does style matter? Disentangling style and substance in
    Chatbot Arena, LMSYS blog.
    """
    if options.ties != "half":
        raise InputError(f"ties must be half where style is held equal; got {options.ties!r}")
    counts = count_votes(votes, both_bad=options.both_bad)
    groupings, warnings = cluster_codes(votes, options.clusters)
    graph = rated_models(counts, options)
    likelihood, rows = _likelihood(votes, features, options, core=graph.core)
    core_counts = counts.take(graph.core)
    start = fit_bradley_terry(core_counts).strengths
    top = likelihood.maximum(start, meat=not groupings)
    covariance = (
        likelihood.cluster_covariance(top, [codes[rows] for codes in groupings.values()])
        if groupings
        else likelihood.vote_covariance(top, core_counts.votes_per_model)
    )
    m = len(graph.core)
    known = told(covariance.matrix, top.inverse_information)[m:] & (covariance.df.max() > 0)
    without = [name for name, given in zip(features, known, strict=True) if not given]
    if without:
        warnings += (f"the votes give no interval of what style is worth: {', '.join(without)}",)
    found = CoreEstimate(
        model=f"Bradley–Terry at equal {', '.join(features)}, ties as half wins",
        strengths=top.point[:m],
        covariance=covariance,
        clusters=tuple(groupings),
        warnings=warnings,
    )
    return StyleResult(
        rating=on_elo_scale(counts, graph, found, options=options),
        features=tuple(features),
        coefficients=top.point[m:],
        covariance=covariance.matrix[m:, m:],
        df=np.where(known, covariance.df.max(), 0.0),
    )


def _likelihood(
    votes: Votes, features: Sequence[str], options: RatingOptions, *, core: NDArray[np.intp]
) -> tuple[StyleLikelihood, slice | NDArray[np.intp]]:
    """Likelihood of the votes among the rated models, and their rows."""
    m = len(core)
    if m == len(votes.models) and options.both_bad == "tie":
        rows: slice | NDArray[np.intp] = slice(None)
        a, b = votes.model_a, votes.model_b
    else:
        kept = np.ones(len(votes), bool)
        if options.both_bad == "drop":
            kept = votes.winner != WINNERS.index("both_bad")
        rows, a, b = votes_among(votes, core, where=kept)
    if len(a) <= m + len(features):
        raise InputError(f"style control needs more than {m + len(features)} votes; got {len(a)}")
    pair = a.astype(np.min_scalar_type(m * m))
    pair *= m
    pair += b.astype(pair.dtype)
    x = feature_differences(votes.features, features)[:, rows]
    return StyleLikelihood(n_models=m, pair=pair, winner=votes.winner[rows], x=x), rows
