"""Estimates on the scale that a figure has."""

from __future__ import annotations

from dataclasses import replace

from evalcore.records import Estimate

__all__ = ["in_points", "per_cent"]


def in_points(estimate: Estimate) -> Estimate:
    """Turn a share into points of a hundred."""
    return replace(
        estimate, value=100 * estimate.value, low=100 * estimate.low, high=100 * estimate.high
    )


def per_cent(share: float) -> str:
    """Write a probability as a whole number of percent: ``<1`` and ``>99`` where it is not 0 or 1.

    Examples
    --------
    >>> per_cent(0.0), per_cent(0.002), per_cent(0.5), per_cent(0.997), per_cent(1.0)
    ('0', '<1', '50', '>99', '100')
    """
    if 0.0 < share < 0.005:
        return "<1"
    if 0.995 <= share < 1.0:
        return ">99"
    return f"{100 * share:.0f}"
