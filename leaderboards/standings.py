"""Standings of the models in a workspace."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from evalcore.errors import InputError
from evalcore.garbage import uncollected
from evalcore.records import Efficiency, Estimate, Standing
from evalcore.store import Store
from leaderboards.compared import Compared, compared_part
from leaderboards.costs import costs_of
from leaderboards.deprecation import deprecations
from leaderboards.notes import notes
from leaderboards.rating import Rating, rate_by_votes
from leaderboards.records import Leaderboard
from leaderboards.request import BoardRequest
from leaderboards.roster import make_roster
from leaderboards.scored import Scored, scored_part
from leaderboards.selection import Selection
from leaderboards.task_runs import Metrics, Result

__all__ = ["standings"]


@uncollected()
def standings(
    store: Store,
    request: BoardRequest | None = None,
    *,
    tasks: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
) -> Leaderboard:
    """Rank the models of a workspace by what there is: scores, votes, verdicts, or all of them.

    **By scores.** The rating is the mean over tasks of the primary metric, each task weighing the
    same. Only tasks enter whose metric is a plain mean of values in [0, 1] of which more is better;
    others, such as perplexities, are shown but not averaged. A single task is rated by its own
    metric, whatever it is. Models differ significantly if a paired test on the same examples says
    so after Holm's correction over all pairs: McNemar's exact test or flipping signs for a single
    task, flipping signs within tasks for several.

    **By comparisons.** Bradley–Terry ratings on the Elo scale with intervals clustered by rater and
    example, see :func:`~evalcore.stats.ratings.rate_votes`, for people, judges and rules apart.

    Parameters
    ----------
    store
        The workspace.
    request
        Tasks, models, filters, what to rank by and whom to compare with.
    tasks, models
        Names, in place of those of the request.

    Returns
    -------
    Leaderboard
        With one model its rank is 1 and there is no pair. Models with exactly the same rating share
        a rank. A model that lacks a task of the rating has none. For n models ranked by scores,
        rank_low is 1 + the number of significantly better ones and rank_high is n - the number of
        significantly worse ones. A model whose answers work on a judge is not ranked by that judge.

    Raises
    ------
    InputError
        If the workspace has nothing to rank by, or none of a task, model or category asked for.
    """
    request = request or BoardRequest()
    if tasks is not None:
        request = replace(request, tasks=tuple(tasks))
    if models is not None:
        request = replace(request, models=tuple(models))
    runs, votes = store.run_heads(), store.votes(kinds=request.kinds)
    if not runs and votes is None:
        raise InputError(
            f"workspace {store.where} has no results yet; "
            "make some with: parity eval -m MODEL -t TASK"
        )
    known = [] if request.category is None else store.categories()
    if request.category is not None and request.category not in known:
        permitted = (
            f"one that examples have, {', '.join(known)}" if known else "left out: none has one"
        )
        raise InputError(f"category must be {permitted}; got {request.category!r}")
    roster = make_roster(store, runs, () if votes is None else votes.models)
    if request.reference is not None:
        request = replace(request, reference=roster.one(request.reference))
    scored = scored_part(store, roster, runs, request)
    models_shown = scored.selection.models
    compared = compared_part(store, roster, votes, request, models=models_shown)
    rating = _rating(scored, compared, request)
    results = _results(scored.selection)
    warnings = [*scored.selection.warnings, *compared.warnings]
    if rating.by == "score":
        warnings += notes(models_shown, scored.columns, scored.rating)
    return Leaderboard(
        standings=(
            *_ranked(results, rating),
            *_unranked(results, rating, level=request.level),
        ),
        columns=scored.columns,
        pairs=rating.pairs,
        rating_title=rating.title,
        rating_higher_is_better=rating.higher_is_better,
        confidence_level=request.level,
        warnings=tuple(warnings),
        request=request,
        ranked_by=rating.by,
        sources=compared.sources,
        reference=request.reference,
        score_versus=scored.versus,
        agreement=compared.agreement,
        costs=costs_of(results, store),
        deprecated=deprecations(store, models_shown),
    )


def _rating(scored: Scored, compared: Compared, request: BoardRequest) -> Rating:
    """Choose what ranks: what was asked for, or the first that there is."""
    by_kind = {source.kind: source for source in compared.sources}
    wanted = request.by
    if wanted is None:
        wanted = "score" if scored.columns or not by_kind else next(iter(by_kind))
    if wanted == "score":
        return scored.rating
    if wanted not in by_kind:
        there = ", ".join([*(["score"] if scored.columns else []), *by_kind]) or "nothing"
        raise InputError(f"--by must be one of what there is to rank by, {there}; got {wanted!r}")
    return rate_by_votes(by_kind[wanted])


def _results(selection: Selection) -> dict[str, Result]:
    """Gather what each model did, by fingerprint."""
    found = {}
    for fingerprint, spec in selection.models.items():
        heads = {
            task: runs.heads[fingerprint]
            for task, runs in selection.runs.items()
            if fingerprint in runs.heads
        }
        efficiency = _efficiency([head.work for head in heads.values()])
        found[fingerprint] = Result(spec, Metrics(heads), efficiency)
    return found


def _ranked(results: Mapping[str, Result], rating: Rating) -> list[Standing]:
    order = rating.order
    tie_groups = rating.pairs.letters(order)
    ratings = [rating.estimates[fingerprint].value for fingerprint in order]
    return [
        Standing(
            rank=1 + ratings.index(rating.estimates[fingerprint].value),
            rank_low=rating.ranges[fingerprint].low,
            rank_high=rating.ranges[fingerprint].high,
            tie_group=tie_groups[fingerprint],
            rating=rating.estimates[fingerprint],
            model=results[fingerprint].model,
            metrics=results[fingerprint].metrics,
            efficiency=results[fingerprint].efficiency,
        )
        for fingerprint in order
    ]


def _unranked(results: Mapping[str, Result], rating: Rating, *, level: float) -> list[Standing]:
    nothing = Estimate(
        value=math.nan, low=math.nan, high=math.nan, confidence_level=level, method="none", n=0
    )
    return [
        Standing(
            rank=None,
            rank_low=None,
            rank_high=None,
            tie_group="",
            rating=nothing,
            model=result.model,
            metrics=result.metrics,
            efficiency=result.efficiency,
        )
        for fingerprint, result in results.items()
        if fingerprint not in rating.estimates
    ]


def _efficiency(done: Sequence[Sequence[Any]]) -> Efficiency:
    """Sum up the work on all tasks, and take its highest peaks.

    Energy is not known if that of any work with tokens is not.
    """
    by_field = zip(*done, strict=True) if done else ((),) * 7
    prefill_tokens, prefill_s, decode_tokens, decode_s, memory, disk, joules = by_field
    counted = [x for x, *n in zip(joules, prefill_tokens, decode_tokens, strict=True) if any(n)]
    return Efficiency(
        prefill_tokens=sum(prefill_tokens),
        prefill_s=sum(prefill_s),
        decode_tokens=sum(decode_tokens),
        decode_s=sum(decode_s),
        peak_memory_bytes=max(memory, default=0),
        size_on_disk_bytes=max(disk, default=0),
        joules=None if None in counted else math.fsum(counted),
    )
