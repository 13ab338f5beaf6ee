"""What a study found, for those who did not take part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalcore.errors import VotesError
from evalcore.records import Comparison, Estimate
from evalcore.stats.ratings import rate_votes
from evalcore.store import Store
from evalcore.store.studies import StudySummary
from evalcore.votes import Votes

__all__ = ["StudyResult", "study_results"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """A study, and the ratings that follow from its votes."""

    study: StudySummary
    ratings: tuple[tuple[str, int, Estimate], ...]
    """Name, rank and rating on the Elo scale, best first; none while the study goes on."""
    n_comparisons: int
    n_raters: int
    n_prompts: int
    method: str
    warnings: tuple[str, ...]


def study_results(store: Store, comparisons: Sequence[Comparison]) -> list[StudyResult]:
    """Rate the models of each locked study by its own votes.

    Of a study that still goes on only the number of votes is told, so that nobody votes with the
    result in mind.
    """
    results = []
    for study in store.studies():
        own: list[Comparison] = []
        if study.is_locked:
            battles = store.battles_of_study(study.name)
            own = [c for c in comparisons if c.id.split(".")[0] in battles]
        results.append(_result(study, own))
    return results


def _result(study: StudySummary, own: Sequence[Comparison]) -> StudyResult:
    ratings: list[tuple[str, int, Estimate]] = []
    method = ""
    warnings: tuple[str, ...] = ()
    if own:
        try:
            found = rate_votes(Votes.from_comparisons(own))
        except VotesError as error:
            warnings = (str(error),)
        else:
            interval = found.confidence_interval()
            ratings = [
                (
                    name,
                    int(found.ranks[place]),
                    Estimate(
                        value=float(found.ratings[place]),
                        low=float(interval.low[place]),
                        high=float(interval.high[place]),
                        confidence_level=0.95,
                        method=found.method,
                        n=int(found.n_comparisons[place]),
                    ),
                )
                for place, name in enumerate(found.models)
            ]
            method, warnings = f"{found.method}; {found.scale}", found.warnings
    return StudyResult(
        study=study,
        ratings=tuple(sorted(ratings, key=lambda item: (item[1] or len(ratings) + 1, item[0]))),
        n_comparisons=len(own),
        n_raters=len({item.rater for item in own}),
        n_prompts=len({item.example_id for item in own}),
        method=method,
        warnings=warnings,
    )
