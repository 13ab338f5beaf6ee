"""How far raters agree, beyond chance.

Chance agreement, and so every kappa, depends on how often each label is used, hence on which model
happened to be called A. With ``symmetric=True`` each unit of winner labels counts half with either
naming of the models, and it no longer does. For the error it remains one unit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalcore.errors import InputError
from evalcore.records import Estimate
from evalcore.stats.clustering import group_codes
from evalcore.stats.intervals import (
    mean_estimate,
    proportion_estimate,
    share_interval,
    wilson_interval,
)
from evalcore.stats.labels import Labels

__all__ = [
    "agreement_with_rest",
    "cohen_kappa",
    "fleiss_kappa",
    "gwet_ac1",
    "jackknifed",
    "krippendorff_alpha",
    "raw_agreement",
]

_FLIPPED = {"model_a": "model_b", "model_b": "model_a"}
"""Winner labels after the two models have changed names; the others stay."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


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
    tables = _pair_tables(*_same_units(first, second), symmetric=symmetric, groups=groups)
    estimate = jackknifed(tables, _table_kappa, level=level, method="Cohen kappa, jackknife")
    return replace(estimate, n=len(np.asarray(first)))


def gwet_ac1(
    first: ArrayLike,
    second: ArrayLike,
    *,
    symmetric: bool = False,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> Estimate:
    """Estimate the agreement of two raters beyond chance, where labels are used unevenly.

    AC₁ = (p_o − p_e) / (1 − p_e) with p_e = Σ π_k (1 − π_k) / (q − 1), π_k being the mean share of
    label k and q the number of labels in use [1]_. Unlike κ it does not fall when nearly everything
    has one label.

    Parameters are those of :func:`cohen_kappa`.

    Returns
    -------
    Estimate
        nan for n = 0; 1 where both raters use one and the same label only.

    References
    ----------
    .. [1] Gwet (2008), Computing inter-rater reliability and its variance in the presence of high
       agreement, British J. Mathematical and Statistical Psychology 61, eq. 7 and 8.

    Examples
    --------
    >>> first, second = ["+"] * 123 + ["-"] * 2, ["+"] * 118 + ["-"] * 5 + ["+"] * 2
    >>> round(gwet_ac1(first, second).value, 4), round(cohen_kappa(first, second).value, 4)
    (0.9408, -0.0234)
    """
    tables = _pair_tables(*_same_units(first, second), symmetric=symmetric, groups=groups)
    estimate = jackknifed(tables, _table_ac1, level=level, method="Gwet AC1, jackknife")
    return replace(estimate, n=len(np.asarray(first)))


def fleiss_kappa(given: Labels, *, symmetric: bool = False, level: float = 0.95) -> Estimate:
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
    counts, flip = _label_counts(given, symmetric=symmetric)
    used = counts[counts.sum(axis=1) >= 2]
    labels = used.sum(axis=1)
    agreeing = (used * (used - 1)).sum(axis=1) / np.maximum(labels * (labels - 1), 1)
    parts = np.column_stack([np.ones(len(used)), agreeing, (used + used[:, flip]) / 2])
    method = "Fleiss kappa, jackknife"
    return jackknifed(
        parts, _fleiss, level=level, method=method, n_unscored=len(counts) - len(used)
    )


def krippendorff_alpha(given: Labels, *, symmetric: bool = False, level: float = 0.95) -> Estimate:
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
    counts, flip = _label_counts(given, symmetric=symmetric)
    used = counts[counts.sum(axis=1) >= 2]
    pairs = used[:, :, None] * used[:, None, :]
    diagonal = np.arange(used.shape[1])
    pairs[:, diagonal, diagonal] -= used
    coincidences = pairs / np.maximum(used.sum(axis=1) - 1, 1)[:, None, None]
    return jackknifed(
        (coincidences + coincidences[:, flip][:, :, flip]) / 2,
        _alpha,
        level=level,
        method="Krippendorff alpha, jackknife",
        n_unscored=len(counts) - len(used),
    )


def agreement_with_rest(
    given: Labels, *, level: float = 0.95, seed: int = 0
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
    unit, label = group_codes(given.units), group_codes(given.labels)
    counts, _ = _label_counts(given, symmetric=False)
    others = counts.sum(axis=1)[unit] - 1.0
    same = counts[unit, label] - 1.0
    share = np.where(others > 0, same / np.maximum(others, 1.0), math.nan)
    raters = np.asarray(given.raters)
    return {
        rater.item(): mean_estimate(
            share[raters == rater], level=level, seed=seed, bounds=(0.0, 1.0)
        )
        for rater in np.unique(raters)
    }


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


def _pair_tables(
    one: NDArray[Any], other: NDArray[Any], *, symmetric: bool, groups: ArrayLike | None
) -> NDArray[np.float64]:
    """Count labels against labels, a table for each unit or group, (n, n_labels, n_labels)."""
    codes, flip = _encode(np.concatenate([one, other]), symmetric=symmetric)
    unit = np.arange(len(one)) if groups is None else group_codes(groups)
    shape = int(unit.max(initial=-1)) + 1, len(flip), len(flip)
    cell = (unit * shape[1] + codes[: len(one)]) * shape[2] + codes[len(one) :]
    tables = np.bincount(cell, minlength=shape[0] * shape[1] * shape[2]).reshape(shape)
    return (tables + tables[:, flip][:, :, flip]) / 2.0


def _label_counts(
    given: Labels, *, symmetric: bool
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Count how often each unit got each label, shape (n_units, n_labels)."""
    unit = group_codes(given.units)
    codes, flip = _encode(given.labels, symmetric=symmetric)
    counts = np.zeros((int(unit.max(initial=-1)) + 1, len(flip)))
    np.add.at(counts, (unit, codes), 1.0)
    return counts, flip


def jackknifed(
    parts: NDArray[np.float64],
    statistic: Statistic,
    *,
    level: float,
    method: str,
    n_unscored: int = 0,
) -> Estimate:
    """Estimate a coefficient in [−1, 1] of summed parts by leaving out one unit at a time.

    Parameters
    ----------
    parts
        What each unit adds, shape (n, ...).
    statistic
        From sums, shape (k, ...), to coefficients, shape (k,); nan where it is undefined.
    level
        Confidence level.
    method, n_unscored
        For the result.

    Returns
    -------
    Estimate
        nan for n = 0; the interval is [−1, 1] where fewer than two units, or sums without each one,
        define the coefficient. Equal coefficients whichever unit is left out have Wilson's.
    """
    n = len(parts)
    total = parts.sum(axis=0)
    value = float(statistic(total[None])[0]) if n else math.nan
    low, high = -1.0, 1.0
    if n >= 2 and not math.isnan(value):
        without = statistic(total[None] - parts)
        without = without[~np.isnan(without)]
        if len(without):
            variance = (n - 1) / n * float(np.sum((without - without.mean()) ** 2))
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
    if variance > 1e-12:  # below it there is nothing but rounding
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


def _table_ac1(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = tables / np.maximum(tables.sum(axis=(1, 2), keepdims=True), 1e-12)
    used = (shares.sum(axis=1) + shares.sum(axis=2)) / 2.0
    by_chance = (used * (1.0 - used)).sum(axis=1) / max(tables.shape[1] - 1, 1)
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
