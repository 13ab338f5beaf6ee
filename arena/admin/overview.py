"""What administrators see, read from the database in connections of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.audit import first_broken_entry
from arena.quality import RaterQuality, check_raters
from arena.recorded import RecordedVote, cast_votes, read_votes
from arena.records import VoteStatus
from arena.studies.registry import RegisteredStudy, load_study
from arena.studies.results import PairResult, StudyResult, study_result
from evalcore.stats.ratings import rate_votes
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store
from evalcore.store.arena_schema import audit, study, vote_event
from evalcore.votes import Votes

__all__ = ["PAGE_SIZE", "AuditPage", "Overview", "RatedModel", "Reader", "VotePage"]

PAGE_SIZE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedModel:
    """A row of the live standings, on the Elo scale."""

    model: str
    rank: int
    """0 without a rating."""
    rating: float
    low: float
    high: float
    n_votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How the study or the live arena stands."""

    study: RegisteredStudy | None
    """None for live battles."""
    n_votes: Mapping[str, int]
    """By status."""
    standings: Sequence[RatedModel]
    """Best first; empty before two models have met."""
    result: StudyResult | None
    pairs_unflagged: Sequence[PairResult]
    """Win rates of a study without the votes of flagged raters."""
    raters: Sequence[RaterQuality]
    """Flagged ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VotePage:
    """Some votes, newest first."""

    votes: Sequence[RecordedVote]
    n: int
    """Of all that fit the filter."""
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """The audit log, newest first."""

    entries: Sequence[Mapping[str, Any]]
    broken_entry: int | None
    """First entry that does not fit the one before; None if the chain is whole."""


class Reader:
    """Reads for the pages; what takes long is kept until another vote event comes.

    Parameters
    ----------
    store
        The workspace.
    study
        Name of the study; empty for live battles.
    """

    def __init__(self, store: Store, study: str) -> None:
        self._store = store
        self._study = study
        self._lock = threading.Lock()
        self._kept: tuple[tuple[Any, ...], Overview] | None = None

    def overview(self) -> Overview:
        """Return how it stands now."""
        with self._lock, self._store.engine.connect() as connection:
            state = connection.execute(
                sa.select(
                    sa.select(sa.func.max(vote_event.c.id)).scalar_subquery(),
                    sa.select(study.c.status).where(study.c.name == self._study).scalar_subquery(),
                )
            ).one()
            if self._kept is None or self._kept[0] != tuple(state):
                self._kept = tuple(state), self._overview(connection)
            return self._kept[1]

    def votes(self, *, rater: str = "", status: str = "", offset: int = 0) -> VotePage:
        """Return a page of votes, of one rater and status if they are given."""
        found = [
            vote
            for vote in reversed(self._recorded())
            if rater in ("", vote.rater) and status in ("", vote.status)
        ]
        return VotePage(votes=found[offset : offset + PAGE_SIZE], n=len(found), offset=offset)

    def counted_battles(self, rater: str) -> list[str]:
        """Return the battles in which a rater's vote counts."""
        kept = (VoteStatus.COUNTED, VoteStatus.UNVERIFIED)
        return [v.battle.id for v in self._recorded() if v.rater == rater and v.status in kept]

    def is_locked(self) -> bool:
        """Whether the study has ended for good."""
        if not self._study:
            return False
        with self._store.engine.connect() as connection:
            return self._loaded(connection).status == "locked"

    def audit(self, *, offset: int = 0) -> AuditPage:
        """Return a page of the audit log, and whether its chain is whole."""
        query = audit.select().order_by(audit.c.id.desc()).offset(offset).limit(PAGE_SIZE)
        with self._store.engine.connect() as connection:
            return AuditPage(
                entries=[row._asdict() for row in connection.execute(query)],
                broken_entry=first_broken_entry(connection),
            )

    def _recorded(self) -> list[RecordedVote]:
        with self._store.engine.connect() as connection:
            items = self._loaded(connection).items if self._study else ()
            return read_votes(connection, self._study, items)

    def _loaded(self, connection: Connection) -> RegisteredStudy:
        return load_study(connection, self._study)

    def _overview(self, connection: Connection) -> Overview:
        found = self._loaded(connection) if self._study else None
        recorded = read_votes(connection, self._study, found.items if found else ())
        rules = found.definition.quality.rules() if found else None
        raters = check_raters(cast_votes(recorded), rules)
        flagged = {one.rater for one in raters if one.flags}
        result = unflagged = None
        if found is not None:
            names = found.model_names
            honest = [vote for vote in recorded if vote.rater not in flagged]
            result = study_result(found.definition, recorded, names)
            unflagged = study_result(found.definition, honest, names)
        return Overview(
            study=found,
            n_votes=dict(Counter(str(vote.status) for vote in recorded)),
            standings=_standings(recorded, unique_names(self._store)),
            result=result,
            pairs_unflagged=() if unflagged is None or not flagged else unflagged.pairs,
            raters=raters,
        )


def _standings(recorded: Sequence[RecordedVote], names: Mapping[str, str]) -> list[RatedModel]:
    said = [found for vote in recorded if vote.counts for found in vote.comparisons()]
    if not said:
        return []
    rated = rate_votes(Votes.from_comparisons(said))
    low, high = rated.confidence_interval()
    rows = [
        RatedModel(
            model=names.get(model, model),
            rank=int(rated.ranks[place]),
            rating=float(rated.ratings[place]),
            low=float(low[place]),
            high=float(high[place]),
            n_votes=int(rated.n_comparisons[place]),
        )
        for place, model in enumerate(rated.models)
    ]
    return sorted(rows, key=lambda row: (row.rank or len(rows) + 1, row.model))
