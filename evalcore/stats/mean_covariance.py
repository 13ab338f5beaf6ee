"""How the means of several models, taken over the same examples, vary together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.clustering import group_codes

__all__ = ["MeanCovariance", "Stratum", "mean_covariance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """A task's values: models x examples."""

    values: NDArray[np.float64]
    """(n_models, n_examples); nan = could not be scored."""
    weights: NDArray[np.float64]
    """(n_models, n_examples)."""
    groups: Sequence[str] | NDArray[np.str_] | NDArray[np.int64] | None = None
    """Clusters that examples come in, (n_examples,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanCovariance:
    """Means over strata that count the same."""

    means: NDArray[np.float64]
    """(n_models,); nan where a stratum has no value of the model."""
    covariance: NDArray[np.float64]
    """(n_models, n_models)."""
    df: NDArray[np.float64]
    """(n_models,) of the variances, by Welch and Satterthwaite; 0 where there is none."""


def mean_covariance(strata: Sequence[Stratum]) -> MeanCovariance:
    """Estimate each model's mean over strata and the covariance of all of them.

    In a stratum a model's mean is the ratio Σwx / Σw, and its linearised error the sum over
    clusters of Σw(x − mean) / Σw; the covariance of two models is the sum of the products of their
    clusters' errors times G/(G − 1) [1]_. As models answer the same examples, their errors go
    together and differences between them are surer than either mean. A stratum with a single
    cluster has no covariance: nan.

    References
    ----------
    .. [1] Cochran (1977), Sampling Techniques, 3rd ed., equations 6.9 and 9.30.

    Examples
    --------
    >>> same = np.array([[0.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]])
    >>> found = mean_covariance([Stratum(values=same, weights=np.ones_like(same))])
    >>> found.means.tolist(), bool(np.ptp(found.covariance) < 1e-12)
    ([0.5, 0.5], True)
    """
    parts = [_of_one(stratum) for stratum in strata]
    means = np.mean([mean for mean, _covariance, _df in parts], axis=0)
    total = np.sum([covariance for _mean, covariance, _df in parts], axis=0)
    variance = np.diagonal(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        smaller = sum(np.diagonal(part) ** 2 / df if df else np.nan for _mean, part, df in parts)
        least = float(min(df for _mean, _part, df in parts))
        df = np.where(variance > 0, variance**2 / smaller, least)
    return MeanCovariance(
        means=means, covariance=total / len(parts) ** 2, df=np.nan_to_num(df, nan=0.0)
    )


def _of_one(stratum: Stratum) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Means (m,), covariance (m, m) and degrees of freedom of one stratum."""
    scored = ~np.isnan(stratum.values)
    weights = np.where(scored, stratum.weights, 0.0)
    values = np.where(scored, stratum.values, 0.0)
    totals = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (weights * values).sum(axis=1) / totals
        errors = weights * (values - means[:, None]) / totals[:, None]
    if stratum.groups is not None:
        codes = group_codes(np.asarray(stratum.groups))
        summed = np.zeros((len(errors), int(codes.max(initial=-1)) + 1))
        np.add.at(summed.T, codes, errors.T)
        errors = summed
    n = errors.shape[1]
    if n < 2:
        return means, np.full((len(means), len(means)), np.nan), 0
    return means, errors @ errors.T * n / (n - 1), n - 1
