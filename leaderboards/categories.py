"""A board of one category of examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.store.runs import RunHead
from leaderboards.comparing import TaskValues
from leaderboards.selection import Selection
from leaderboards.task_runs import TaskRuns

__all__ = ["only_category"]


def only_category(
    selection: Selection, values: Mapping[str, TaskValues], category: str
) -> tuple[Selection, dict[str, TaskValues]]:
    """Leave out tasks without such examples, and estimate the others from theirs alone.

    Where a run has the category's estimate it is taken as it is: that of a metric which is no mean
    can't be made from examples' values.
    """
    runs = {
        task: TaskRuns(
            {
                fingerprint: _of_category(head, values[task], category)
                for fingerprint, head in chosen.heads.items()
            }
        )
        for task, chosen in selection.runs.items()
        if len(values[task].table.example_ids)
    }
    gone = sorted(selection.runs.keys() - runs.keys())
    said = [f"without examples of the category {category!r}: {', '.join(gone)}"] if gone else []
    return (
        replace(selection, runs=runs, warnings=(*selection.warnings, *said)),
        {task: values[task] for task in runs},
    )


def _of_category(head: RunHead, values: TaskValues, category: str) -> RunHead:
    known = head.run.estimates.get(f"{head.metric}/{category}")
    estimate = known or _estimate(values, head.fingerprint)
    return head.with_estimate(estimate, n_examples=len(values.table.example_ids))


def _estimate(values: TaskValues, fingerprint: str) -> Estimate:
    scored = values.of(fingerprint)
    weights = values.shared_weights(fingerprint, fingerprint)
    known = scored[~np.isnan(scored)]
    if weights is None and bool(np.isin(known, (0.0, 1.0)).all()):
        return proportion_estimate(scored, groups=values.groups)
    return mean_estimate(scored, weights=weights, groups=values.groups)
