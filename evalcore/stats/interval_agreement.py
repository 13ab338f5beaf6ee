"""How far raters agree on scales, where a near miss is better than a far one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Estimate
from evalcore.stats.agreement import jackknifed
from evalcore.stats.clustering import group_codes
from evalcore.stats.labels import Labels

__all__ = ["interval_alpha"]


def interval_alpha(given: Labels, *, level: float = 0.95) -> Estimate:
    """Estimate the agreement of several raters on a scale, beyond chance.

    Krippendorff's α = 1 − D_o / D_e for interval data [1]_: D_o is the mean squared difference of
    the values that one unit got, D_e that of all values whatever their unit. The interval is by the
    jackknife over units, as those of the other coefficients.

    Parameters
    ----------
    given
        Labels that are numbers. Units with one value only are left out and counted.
    level
        Confidence level.

    Returns
    -------
    Estimate
        nan without units of two values, and where all values are equal; with fewer than two units
        the interval is [-1, 1].

    References
    ----------
    .. [1] Krippendorff (2011), Computing Krippendorff's alpha-reliability, section E.
    """
    values = np.asarray(given.labels, dtype=float)
    units = group_codes(given.units)
    counts = np.bincount(units)
    shared = counts[units] >= 2
    return jackknifed(
        _sums(values[shared], group_codes(units[shared])),
        _alpha,
        level=level,
        method="Krippendorff alpha (interval), jackknife",
        n_unscored=int(np.sum(counts == 1)),
    )


def _sums(values: NDArray[np.float64], units: NDArray[np.intp]) -> NDArray[np.float64]:
    """By unit: values, their sum, sum of squares, and squared differences per value and rater.

    Σ_{i≠j} (x_i − x_j)² = 2 (m Σx² − (Σx)²) over the m values of a unit, divided by m − 1.
    """
    m = np.bincount(units).astype(float)
    total, squares = np.bincount(units, values), np.bincount(units, values**2)
    within = 2.0 * (m * squares - total**2) / np.maximum(m - 1.0, 1.0)
    return np.column_stack([m, total, squares, within])


def _alpha(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    n, total, squares, within = sums.T
    expected = 2.0 * (n * squares - total**2) / np.maximum(n - 1.0, 1.0)
    usable = expected > 1e-12
    return np.where(usable, 1.0 - within / np.where(usable, expected, 1.0), np.nan)
