"""A task's column: its models by the primary metric, and every two of them compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from evalcore.records import Estimate, EvalRun
from leaderboards.comparing import TaskValues, compare
from leaderboards.records import Column

__all__ = ["best_first", "is_mean_share", "make_column"]


def make_column(
    runs: Mapping[str, EvalRun],
    values: TaskValues,
    *,
    in_rating: bool,
    is_share: bool,
    level: float,
) -> Column:
    """Make a column from the runs, by fingerprint, of one version of a task."""
    run = next(iter(runs.values()))
    metric = run.primary_metric
    higher = run.higher_is_better[metric]
    primary = {fingerprint: run.estimates[metric] for fingerprint, run in runs.items()}
    order = best_first(primary, higher_is_better=higher)
    return Column(
        task=run.task,
        metric=metric,
        higher_is_better=higher,
        task_hash=run.task_hash,
        n_examples=len(values.table.example_ids),
        in_rating=in_rating,
        is_share=in_rating and is_share,
        runs=runs,
        pairs=compare(values, list(runs), level=level),
        order=tuple(order),
    )


def is_mean_share(runs: Mapping[str, EvalRun], values: TaskValues) -> bool:
    """Tell whether the primary metric is a mean of values in [0, 1] of which more is better.

    A corpus-level metric, such as BLEU, is none: it is not the mean of its examples' values, so
    that their spread does not tell its own.
    """
    metric = next(iter(runs.values())).primary_metric
    if not values.is_plain_share or not all(run.higher_is_better[metric] for run in runs.values()):
        return False
    told = np.array([runs[name].estimates[metric].value for name in values.table.fingerprints])
    close = np.isclose(values.means, told, rtol=1e-9, atol=1e-9)
    return bool((close | np.isnan(told)).all())


def best_first(estimates: Mapping[str, Estimate], *, higher_is_better: bool) -> list[str]:
    """Sort fingerprints from best to worst; nan last."""

    def place(fingerprint: str) -> tuple[bool, float]:
        value = estimates[fingerprint].value
        return math.isnan(value), -value if higher_is_better else value

    return sorted(estimates, key=place)
