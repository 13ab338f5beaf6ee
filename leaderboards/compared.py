"""The part of a leaderboard that rests on comparisons: by people, judges and rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalcore.records import ModelSpec, RaterKind
from evalcore.store import Store
from evalcore.votes.columns import Votes
from leaderboards.records import SharedAgreement, Source
from leaderboards.request import BoardRequest
from leaderboards.roster import Roster
from leaderboards.sharing import shared_agreement
from leaderboards.sources import by_kind, make_source, on_board

__all__ = ["Compared", "compared_part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What comparisons say."""

    sources: tuple[Source, ...]
    agreement: SharedAgreement | None
    warnings: tuple[str, ...]


def compared_part(
    store: Store,
    roster: Roster,
    votes: Votes | None,
    request: BoardRequest,
    *,
    models: Mapping[str, ModelSpec],
) -> Compared:
    """Rate the models of the board by each kind of rater, and see how far kinds agree."""
    between = None if votes is None else on_board(votes, roster, models)
    if between is None or not len(between):
        return Compared(sources=(), agreement=None, warnings=())
    found, warnings = by_kind(between, store, request)
    names = {fingerprint: spec.name for fingerprint, spec in models.items()}
    sources = tuple(make_source(kind, some, names, request=request) for kind, some in found.items())
    for source in sources:
        warnings += [f"{source.title}: {warning}" for warning in source.warnings]
        if source.kind == "simulated":
            warnings.append(f"{source.n_comparisons} votes are SIMULATED: no person cast them")
        if source.kind == "judge" and len(source.raters) > 1:
            warnings.append(f"verdicts of several judges are rated together: {_some(source)}")
    return Compared(
        sources=sources, agreement=_agreement(found, level=request.level), warnings=tuple(warnings)
    )


def _agreement(found: Mapping[RaterKind, Votes], *, level: float) -> SharedAgreement | None:
    if "judge" not in found or "human" not in found:
        return None
    return shared_agreement(found["judge"], found["human"], level=level)


def _some(source: Source) -> str:
    shown = ", ".join(source.raters[:3])
    more = len(source.raters) - 3
    return f"{shown} and {more} more" if more > 0 else shown
