"""How far raters agree, beyond chance.

Chance agreement, and so every kappa, depends on how often each label is used, hence on which model
happened to be called A. With ``symmetric=True`` each unit of winner labels counts half with either
naming of the models, and it no longer does. For the error it remains one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalcore.errors import InputError, VotesError
from evalcore.records import Estimate
from evalcore.stats.clustering import group_codes
from evalcore.stats.intervals import (
    mean_estimate,
    proportion_estimate,
    share_interval,
    wilson_interval,
)

if TYPE_CHECKING:
    from evalcore.votes import Votes

__all__ = [
    "Ratings",
    "agreement_with_rest",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "pair_votes",
    "raw_agreement",
]

_FLIPPED = {"model_a": "model_b", "model_b": "model_a"}
"""Winner labels after the two models have changed names; the others stay."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """Labels that raters gave to units, such as votes on pairs of answers; one row for each."""

    units: NDArray[Any]
    """What was labelled, shape (n,)."""
    raters: NDArray[Any]
    """Who labelled it, shape (n,); a rater labels a unit once."""
    labels: NDArray[Any]
    """Shape (n,)."""

    def __post_init__(self) -> None:
        """Check that the columns match and no rater labels a unit twice."""
        if not len(self.units) == len(self.raters) == len(self.labels):
            raise InputError(
                "units, raters and labels must be equally many; got "
                f"{len(self.units)}, {len(self.raters)} and {len(self.labels)}"
            )
        pairs = np.stack([group_codes(self.units), group_codes(self.raters)])
        if np.unique(pairs, axis=1).shape[1] != len(self.units):
            raise InputError("a rater must label a unit at most once")

    @classmethod
    def from_votes(cls, votes: Votes) -> Ratings:
        """Take votes as labels of units: an example with two models, whichever was called A.

        Both bad counts as a tie. Votes without rater or example are left out, and of several votes
        by one rater on one unit all but the first.

        Raises
        ------
        VotesError
            If the votes have no raters or no examples at all.
        """
        if votes.rater is None or votes.example is None:
            raise VotesError(f"agreement needs rater and example_id ({votes.source})")
        first = np.minimum(votes.model_a, votes.model_b).astype(np.int64)
        second = np.maximum(votes.model_a, votes.model_b).astype(np.int64)
        n_models = len(votes.models)
        unit = (votes.example.codes.astype(np.int64) * n_models + first) * n_models + second
        label = np.array(["model_a", "model_b", "tie", "tie"])[votes.winner]
        turned = np.array(["model_b", "model_a", "tie", "tie"])[votes.winner]
        label = np.where(votes.model_a == first, label, turned)
        known = np.flatnonzero((votes.rater.codes >= 0) & (votes.example.codes >= 0))
        both = np.stack([unit[known], votes.rater.codes[known]])
        rows = known[np.sort(np.unique(both, axis=1, return_index=True)[1])]
        raters = np.array(votes.rater.names)[votes.rater.codes[rows]]
        return cls(units=unit[rows], raters=raters, labels=label[rows])


def raw_agreement(
    first: ArrayLike, second: ArrayLike, *, groups: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """Estimate the share of units on which two labels are the same.

    Parameters and groups as for :func:`cohen_kappa`; the interval is that of
    :func:`~evalcore.stats.intervals.proportion_estimate`.
    """
    one, other = _same_units(first, second)
    return proportion_estimate((one == other).astype(float), groups=groups, level=level)


def cohen_kappa(
    first: ArrayLike,
    second: ArrayLike,
    *,
    symmetric: bool = False,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Estimate the agreement of two raters beyond chance.

    κ = (p_o − p_e) / (1 − p_e), with p_o the share of equal labels and p_e = Σ_k p_k· p_·k that of
    raters who use each label as often but independently [1]_.

    Parameters
    ----------
    first, second
        Labels of the same units, shape (n,).
    symmetric
        For winner labels: make κ independent of which model is called A.
    groups
        Labels, shape (n,); units of one group depend on each other, as pairs of votes on the same
        answers do.
    level
        Confidence level.

    Returns
    -------
    Estimate
        nan for n = 0, and where both raters use one label only: then chance agrees, too.

    References
    ----------
    .. [1] Cohen (1960), A coefficient of agreement for nominal scales, Educational and
       Psychological Measurement 20, 37-46.

    Examples
    --------
    >>> first, second = ["yes"] * 25 + ["no"] * 25, ["yes"] * 20 + ["no"] * 20 + ["yes"] * 10
    >>> round(cohen_kappa(first, second).value, 6)
    0.4
    """
    tables = _pair_tables(*_same_units(first, second), symmetric=symmetric)
    if groups is not None:
        codes = group_codes(groups)
        summed = np.zeros((int(codes.max(initial=-1)) + 1, *tables.shape[1:]))
        np.add.at(summed, codes, tables)
        tables = summed
    estimate = _jackknife(tables, _table_kappa, level=level, method="Cohen kappa, jackknife")
    return replace(estimate, n=len(np.asarray(first)))


def fleiss_kappa(ratings: Ratings, *, symmetric: bool = False, level: float = 0.95) -> Estimate:
    """Estimate the agreement of several raters beyond chance.

    κ = (P̄ − P_e) / (1 − P_e), where P̄ is the mean over units of the share of agreeing pairs of
    raters and P_e = Σ p_k², p_k being the share of label k [1]_. Units need not have equally many
    labels; those with one only say nothing and are left out and counted.

    Returns
    -------
    Estimate
        nan without units of two labels, and where only one label is used.

    References
    ----------
    .. [1] Fleiss (1971), Measuring nominal scale agreement among many raters, Psychological
       Bulletin 76, 378-382.
    """
    counts, flip = _label_counts(ratings, symmetric=symmetric)
    used = counts[counts.sum(axis=1) >= 2]
    labels = used.sum(axis=1)
    agreeing = (used * (used - 1)).sum(axis=1) / np.maximum(labels * (labels - 1), 1)
    parts = np.column_stack([np.ones(len(used)), agreeing, (used + used[:, flip]) / 2])
    method = "Fleiss kappa, jackknife"
    return _jackknife(
        parts, _fleiss, level=level, method=method, n_unscored=len(counts) - len(used)
    )


def krippendorff_alpha(
    ratings: Ratings, *, symmetric: bool = False, level: float = 0.95
) -> Estimate:
    """Estimate the agreement of several raters beyond chance, for any pattern of missing labels.

    α = 1 − D_o / D_e from the coincidence matrix, nominal labels [1]_. Units with one label only
    are left out and counted.

    Returns
    -------
    Estimate
        nan without units of two labels, and where only one label is used.

    References
    ----------
    .. [1] Krippendorff (2011), Computing Krippendorff's alpha-reliability, section C.
    """
    counts, flip = _label_counts(ratings, symmetric=symmetric)
    used = counts[counts.sum(axis=1) >= 2]
    pairs = used[:, :, None] * used[:, None, :]
    diagonal = np.arange(used.shape[1])
    pairs[:, diagonal, diagonal] -= used
    coincidences = pairs / np.maximum(used.sum(axis=1) - 1, 1)[:, None, None]
    return _jackknife(
        (coincidences + coincidences[:, flip][:, :, flip]) / 2,
        _alpha,
        level=level,
        method="Krippendorff alpha, jackknife",
        n_unscored=len(counts) - len(used),
    )


def agreement_with_rest(
    ratings: Ratings, *, level: float = 0.95, seed: int = 0
) -> dict[Any, Estimate]:
    """Estimate for each rater how often another rater of the same unit agrees.

    For each of the rater's units the share of the other labels that equal the rater's; then their
    :func:`~evalcore.stats.intervals.mean_estimate` over units. Chance is not taken off: look at
    differences between raters, such as one far below the rest.

    Returns
    -------
    dict
        By rater; nan with n = 0 for one who shares no unit.
    """
    unit, label = group_codes(ratings.units), group_codes(ratings.labels)
    counts, _ = _label_counts(ratings, symmetric=False)
    others = counts.sum(axis=1)[unit] - 1.0
    same = counts[unit, label] - 1.0
    share = np.where(others > 0, same / np.maximum(others, 1.0), math.nan)
    raters = np.asarray(ratings.raters)
    return {
        rater.item(): mean_estimate(
            share[raters == rater], level=level, seed=seed, bounds=(0.0, 1.0)
        )
        for rater in np.unique(raters)
    }


def pair_votes(
    ratings: Ratings, first: Sequence[Any], second: Sequence[Any] | None = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pair up the labels that raters of two groups gave to the same units.

    Parameters
    ----------
    ratings
        Labels.
    first
        Raters of the first group.
    second
        Raters of the second group; None: pairs within the first, each once.

    Returns
    -------
    tuple of numpy.ndarray
        Labels of the first and of the second rater of each pair, and the unit, shape (n_pairs,).
    """
    members, others = set(first), set(second or ())
    by_unit: dict[Any, list[int]] = {}
    for row, unit in enumerate(ratings.units.tolist()):
        by_unit.setdefault(unit, []).append(row)
    raters = ratings.raters.tolist()
    pairs: list[tuple[int, int]] = []
    for rows in by_unit.values():
        inside = [row for row in rows if raters[row] in members]
        outside = [row for row in rows if raters[row] in others]
        pairs += combinations(inside, 2) if second is None else product(inside, outside)
    index = np.array(pairs, dtype=int).reshape(-1, 2)
    return ratings.labels[index[:, 0]], ratings.labels[index[:, 1]], ratings.units[index[:, 0]]


def _same_units(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape:
        raise InputError(f"both raters must label the same units; got {len(one)} and {len(other)}")
    return one, other


def _encode(labels: NDArray[Any], *, symmetric: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Turn labels into codes, and find the code of each after the models changed names."""
    names, codes = np.unique(labels, return_inverse=True)
    if not symmetric:
        return codes, np.arange(len(names))
    texts = [str(name) for name in names]
    every = sorted({*texts, *(_FLIPPED.get(text, text) for text in texts)})
    place = np.array([every.index(text) for text in texts], dtype=np.intp)
    flip = np.array([every.index(_FLIPPED.get(text, text)) for text in every], dtype=np.intp)
    return place[codes], flip


def _pair_tables(one: NDArray[Any], other: NDArray[Any], *, symmetric: bool) -> NDArray[np.float64]:
    """Count labels against labels, a table for each unit, shape (n, n_labels, n_labels)."""
    codes, flip = _encode(np.concatenate([one, other]), symmetric=symmetric)
    tables = np.zeros((len(one), len(flip), len(flip)))
    tables[np.arange(len(one)), codes[: len(one)], codes[len(one) :]] = 1.0
    return (tables + tables[:, flip][:, :, flip]) / 2.0


def _label_counts(
    ratings: Ratings, *, symmetric: bool
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Count how often each unit got each label, shape (n_units, n_labels)."""
    unit = group_codes(ratings.units)
    codes, flip = _encode(ratings.labels, symmetric=symmetric)
    counts = np.zeros((int(unit.max(initial=-1)) + 1, len(flip)))
    np.add.at(counts, (unit, codes), 1.0)
    return counts, flip


def _jackknife(
    parts: NDArray[np.float64],
    statistic: Statistic,
    *,
    level: float,
    method: str,
    n_unscored: int = 0,
) -> Estimate:
    """Estimate a statistic of summed parts, one part a unit, by leaving out one unit at a time."""
    n = len(parts)
    total = parts.sum(axis=0)
    value = float(statistic(total[None])[0]) if n else math.nan
    low, high = -1.0, 1.0
    if n >= 2 and not math.isnan(value):
        without = statistic(total[None] - parts)
        variance = (n - 1) / n * float(np.nansum((without - np.nanmean(without)) ** 2))
        low, high = _unit_interval(value, variance, n=n, level=level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        confidence_level=level,
        method=method,
        n=n,
        n_unscored=n_unscored,
    )


def _unit_interval(value: float, variance: float, *, n: int, level: float) -> tuple[float, float]:
    """Interval of a coefficient in [−1, 1]: that of the share (value + 1)/2."""
    share = (value + 1.0) / 2.0
    if variance > 0.0:
        low, high = share_interval(share, variance / 4.0, df=n - 1, level=level)
    else:
        low, high = wilson_interval(share * n, n, level=level)
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    usable = below > 1e-12
    return np.where(usable, above / np.where(usable, below, 1.0), math.nan)


def _table_kappa(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = tables / np.maximum(tables.sum(axis=(1, 2), keepdims=True), 1e-12)
    by_chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    return _ratio(np.trace(shares, axis1=1, axis2=2) - by_chance, 1.0 - by_chance)


def _fleiss(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = parts[:, 2:] / np.maximum(parts[:, 2:].sum(axis=1, keepdims=True), 1e-12)
    by_chance = (shares**2).sum(axis=1)
    return _ratio(parts[:, 1] / np.maximum(parts[:, 0], 1.0) - by_chance, 1.0 - by_chance)


def _alpha(coincidences: NDArray[np.float64]) -> NDArray[np.float64]:
    labels = coincidences.sum(axis=1)
    n = labels.sum(axis=1)
    observed = n - np.trace(coincidences, axis1=1, axis2=2)
    expected = n**2 - (labels**2).sum(axis=1)
    return 1.0 - _ratio((n - 1.0) * observed, expected)
