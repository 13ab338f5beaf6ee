"""How probable each rank is."""

from __future__ import annotations

import numpy as np

from evalcore.stats.likely_ranks import rank_probabilities
from evalcore.stats.mean_covariance import Stratum, mean_covariance
from reports.evidence import Evidence
from reports.figures.drawing import Drawing, Figure, Tone
from reports.figures.plot import heat_map
from reports.figures.shares import per_cent

__all__ = ["rank_figure"]

_MOST_SHOWN = 25
_LEAST_SHOWN = 0.005
_LEAST_DF = 30.0
"""From fewer examples chances are surer than they should be, see docs/reports.md."""


def rank_figure(evidence: Evidence) -> Figure | None:
    """Draw the probability of each rank of each ranked model; None with fewer than two.

    None from fewer than some 30 examples, too: what is estimated from so few says too little of
    how much scores vary.

    What votes rank the models by are other data: a model may have no task at all.
    """
    board = evidence.board
    fingerprints = [standing.model.fingerprint for standing in board.ranked]
    rated = [column for column in board.columns if column.in_rating]
    if board.ranked_by != "score" or len(fingerprints) < 2 or not rated:
        return None
    strata = []
    for column in rated:
        values = evidence.values[column.task]
        rows = [values.table.fingerprints.index(fingerprint) for fingerprint in fingerprints]
        table = values.table
        strata.append(
            Stratum(values=table.values[rows], weights=table.weights[rows], groups=values.groups)
        )
    found = mean_covariance(strata)
    sign = 1.0 if board.rating_higher_is_better else -1.0
    if not (np.all(np.isfinite(found.covariance)) and np.all(found.df >= _LEAST_DF)):
        return None
    if not _differ(found.covariance):
        return None
    chances = rank_probabilities(
        sign * found.means, found.covariance, df=found.df, rng=np.random.default_rng(0)
    )
    names = [standing.model.name for standing in board.ranked]
    return _figure(names, fingerprints, chances)


def _differ(covariance: np.ndarray) -> bool:
    """Say whether any distance from the mean varies; equal answers tell nothing of ranks."""
    centred = covariance - covariance.mean(axis=0)
    variances = np.diagonal(centred - centred.mean(axis=1, keepdims=True))
    return bool(np.any(variances > 1e-12 * np.max(np.diagonal(covariance))))


def _figure(names: list[str], fingerprints: list[str], chances: np.ndarray) -> Figure:
    shown = min(len(names), _MOST_SHOWN)
    cells = [
        [_cell(names[row], rank, float(chances[row, rank - 1])) for rank in range(1, shown + 1)]
        for row in range(shown)
    ]
    width, height, marks = heat_map(
        names[:shown],
        [str(rank) for rank in range(1, shown + 1)],
        cells,
        row_title="",
        column_title="probability of each rank, in %",
    )
    first = ", ".join(
        f"{name} {per_cent(float(chance))} %"
        for name, chance in zip(names, chances[:, 0], strict=True)
        if chance >= _LEAST_SHOWN
    )
    return Figure(
        name="rank-chances",
        section="ratings",
        title="How probable each rank is",
        caption="Given the examples answered so far, with models' scores on the same examples "
        "taken together and close models drawn towards each other (4,000 draws, seed 0). An empty "
        "cell is below half a percent."
        + (
            f" The first {shown} of {len(names)} models; the data have all."
            if shown < len(names)
            else ""
        ),
        description=f"Probability of being the best: {first}",
        drawing=Drawing(width=width, height=height, marks=tuple(marks)),
        rows=tuple(
            {"model": name, "fingerprint": fingerprint}
            | {f"rank {rank}": float(chance) for rank, chance in enumerate(line, 1)}
            for name, fingerprint, line in zip(names, fingerprints, chances, strict=True)
        ),
    )


def _cell(name: str, rank: int, chance: float) -> tuple[str, Tone, float, str] | None:
    if chance < _LEAST_SHOWN:
        return None
    said = per_cent(chance)
    return said, "strong", 0.06 + 0.5 * chance, f"{name}, rank {rank}: {said} %"
