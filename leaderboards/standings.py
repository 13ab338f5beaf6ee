"""Standings of the models in a workspace."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from evalcore.records import Efficiency, Estimate, Standing
from evalcore.store import Store
from leaderboards.columns import best_first, is_mean_share, make_column
from leaderboards.comparing import TaskValues, letters
from leaderboards.flags import without_flagged
from leaderboards.notes import notes
from leaderboards.rating import Rating, rate
from leaderboards.records import Leaderboard
from leaderboards.selection import Selection, select_runs

__all__ = ["standings"]


def standings(
    store: Store,
    *,
    tasks: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    level: float = 0.95,
) -> Leaderboard:
    """Rank the models of a workspace.

    The rating is the mean over tasks of the primary metric, each task weighing the same. Only tasks
    enter whose metric is a plain mean of values in [0, 1] of which more is better; others, such as
    perplexities, are shown but not averaged. A single task is rated by its own metric, whatever it
    is. Models differ significantly if a paired test on the same examples says so after Holm's
    correction over all pairs: McNemar's exact test or flipping signs for a single task, flipping
    signs within tasks for several.

    Parameters
    ----------
    store
        The workspace.
    tasks
        Names of the tasks to rank by; all if not given.
    models
        Names of models, or the first digits of their fingerprints; all if not given.
    level
        Confidence level of ratings and differences; 1 - level is the level of tests. A task's own
        estimates keep the level of their run.

    Returns
    -------
    Leaderboard
        With one model its rank is 1 and there is no pair. Models with exactly the same rating share
        a rank. A model that lacks a task of the rating has none. For n ranked models, rank_low is
        1 + the number of significantly better ones and rank_high is n - the number of significantly
        worse ones. A model whose answers work on a judge is not ranked by that judge.

    Raises
    ------
    InputError
        If the workspace has no run, or none of a task or model asked for.
    """
    selection = without_flagged(select_runs(store, tasks=tasks, models=models), store)
    values = {}
    for task, runs in selection.runs.items():
        run = next(iter(runs.values()))
        values[task] = TaskValues.load(
            store, run.task_hash, run.primary_metric, fingerprints=list(runs)
        )
    averaged = [task for task in values if is_mean_share(selection.runs[task], values[task])]
    rated = averaged or (list(values) if len(values) == 1 else [])
    columns = tuple(
        make_column(selection.runs[task], values[task], in_rating=task in rated, level=level)
        for task in sorted(values, key=lambda task: (task not in rated, task))
    )
    rating = rate([column for column in columns if column.in_rating], values, level=level)
    return Leaderboard(
        standings=(*_ranked(selection, rating), *_unranked(selection, rating)),
        columns=columns,
        pairs=rating.pairs,
        rating_title=rating.title,
        rating_higher_is_better=rating.higher_is_better,
        confidence_level=level,
        warnings=(*selection.warnings, *notes(selection.models, columns, rating)),
    )


def _ranked(selection: Selection, rating: Rating) -> list[Standing]:
    order = best_first(rating.estimates, higher_is_better=rating.higher_is_better)
    place = {fingerprint: index for index, fingerprint in enumerate(order)}
    n_better: Counter[str] = Counter()
    n_worse: Counter[str] = Counter()
    for pair in rating.pairs:
        if pair.significant:
            better, worse = sorted((pair.model_a, pair.model_b), key=place.__getitem__)
            n_worse[better] += 1
            n_better[worse] += 1
    tie_groups = letters(order, rating.pairs)
    ratings = [rating.estimates[fingerprint].value for fingerprint in order]
    return [
        Standing(
            rank=1 + ratings.index(rating.estimates[fingerprint].value),
            rank_low=1 + n_better[fingerprint],
            rank_high=len(order) - n_worse[fingerprint],
            tie_group=tie_groups[fingerprint],
            model=selection.models[fingerprint],
            rating=rating.estimates[fingerprint],
            metrics=_metrics(selection, fingerprint),
            efficiency=_efficiency(selection, fingerprint),
        )
        for fingerprint in order
    ]


def _unranked(selection: Selection, rating: Rating) -> list[Standing]:
    nothing = Estimate(
        value=math.nan, low=math.nan, high=math.nan, confidence_level=0.95, method="none", n=0
    )
    return [
        Standing(
            rank=None,
            rank_low=None,
            rank_high=None,
            tie_group="",
            model=spec,
            rating=nothing,
            metrics=_metrics(selection, fingerprint),
            efficiency=_efficiency(selection, fingerprint),
        )
        for fingerprint, spec in selection.models.items()
        if fingerprint not in rating.estimates
    ]


def _metrics(selection: Selection, fingerprint: str) -> dict[str, Estimate]:
    return {
        f"{task}/{metric}": estimate
        for task, runs in selection.runs.items()
        if fingerprint in runs
        for metric, estimate in runs[fingerprint].estimates.items()
    }


def _efficiency(selection: Selection, fingerprint: str) -> Efficiency:
    """Sum up the work on all tasks, and take its highest peaks."""
    done = [runs[fingerprint].efficiency for runs in selection.runs.values() if fingerprint in runs]
    return Efficiency(
        prefill_tokens=sum(work.prefill_tokens for work in done),
        prefill_s=sum(work.prefill_s for work in done),
        decode_tokens=sum(work.decode_tokens for work in done),
        decode_s=sum(work.decode_s for work in done),
        peak_memory_bytes=max((work.peak_memory_bytes for work in done), default=0),
        size_on_disk_bytes=max((work.size_on_disk_bytes for work in done), default=0),
    )
