"""A task's column: its models by the primary metric, and every two of them compared."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from leaderboards.comparing import TaskValues, compare
from leaderboards.records import Column
from leaderboards.task_runs import TaskRuns

__all__ = ["best_first", "is_mean_share", "make_column"]


_NEAR = 1e-9


def make_column(
    runs: TaskRuns,
    values: TaskValues,
    *,
    in_rating: bool,
    is_share: bool,
    level: float,
) -> Column:
    """Make a column from the runs of one version of a task."""
    first = runs.first
    primary = {fingerprint: head.value for fingerprint, head in runs.heads.items()}
    return Column(
        task=first.task,
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        task_hash=first.task_hash,
        n_examples=len(values.table.example_ids),
        in_rating=in_rating,
        is_share=in_rating and is_share,
        runs=runs,
        pairs=compare(values, list(runs), level=level),
        order=tuple(best_first(primary, higher_is_better=first.higher_is_better)),
    )


def is_mean_share(runs: TaskRuns, values: TaskValues) -> bool:
    """Tell whether the primary metric is a mean of values in [0, 1] of which more is better.

    A corpus-level metric, such as BLEU, is none: it is not the mean of its examples' values, so
    that their spread does not tell its own.
    """
    heads = runs.heads
    if not values.is_plain_share or not all(head.higher_is_better for head in heads.values()):
        return False
    told = np.array([heads[name].value for name in values.table.fingerprints])
    close = np.abs(values.means - told) <= _NEAR
    return bool((close | np.isnan(told)).all())


def best_first(values: Mapping[str, float], *, higher_is_better: bool) -> list[str]:
    """Sort fingerprints from best to worst; nan last."""

    def place(fingerprint: str) -> tuple[bool, float]:
        value = values[fingerprint]
        return math.isnan(value), -value if higher_is_better else value

    return sorted(values, key=place)
