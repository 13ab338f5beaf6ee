"""What studies of pairs leave out: intervals clustered by prompt, and tests of parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalcore.records import Estimate
from evalcore.reproductions.records import Finding, left_out, p_words
from evalcore.stats.parity import parity_test
from evalcore.stats.win_rate import PairVotes, WinRate, win_rate

__all__ = ["MARGIN", "clustered_win_rate", "parity_findings", "percent"]

MARGIN = 0.05
"""Half-width of parity that the studies' claims are tested against."""


def clustered_win_rate(
    scores: ArrayLike, prompts: Sequence[object], raters: Sequence[object] | None = None
) -> WinRate:
    """Estimate a win rate, votes on one prompt (and by one rater) depending on each other.

    Parameters
    ----------
    scores
        1 a win, 0.5 a tie, 0 a loss; shape (n,).
    prompts, raters
        What was voted on and who voted, each n labels.
    """
    pair = PairVotes(
        scores=np.asarray(scores, float),
        examples=_codes(prompts),
        raters=None if raters is None else _codes(raters),
    )
    return win_rate(pair)


def _codes(labels: Sequence[object]) -> NDArray[np.int64]:
    codes = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    return np.asarray(codes, np.int64)


def percent(estimate: Estimate) -> Estimate:
    """Return an estimate of a share in per cent."""
    return replace(
        estimate,
        value=100 * estimate.value,
        low=100 * estimate.low,
        high=100 * estimate.high,
    )


def parity_findings(table: str, who: str, rate: WinRate) -> list[Finding]:
    """Tell a win rate with its interval, and what a test of parity within ±5 points says."""
    test = parity_test(rate, margin=MARGIN)
    counts = f"{rate.wins} won, {rate.ties} tied, {rate.losses} lost"
    p_values = f"difference {p_words(test.p_difference)}, parity {p_words(test.p_parity)}"
    return [
        left_out(table, f"{who}: win rate, %", percent(rate.estimate), note=counts),
        left_out(
            table,
            f"{who}: parity within ±{100 * MARGIN:g} points",
            test.words,
            note=f"{p_values}; parity from ±{100 * test.smallest_margin:.1f} on",
        ),
    ]
