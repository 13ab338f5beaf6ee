"""Votes of a study or of live battles, in terms of models rather than of places on the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.ballots import comparisons_of
from arena.battles import battle_from
from arena.quality import CastVote
from arena.records import Ballot, Battle, VoteStatus
from arena.studies.items import StudyItem
from arena.votes import ballot_from
from evalcore.records import Comparison
from evalcore.store.arena_schema import battle, vote

__all__ = ["RecordedVote", "cast_votes", "chosen_model", "read_votes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedVote:
    """A vote with what it was cast on."""

    battle: Battle
    item: StudyItem | None
    """None for live battles."""
    ballot: Ballot
    status: VoteStatus
    sealed: bool
    elapsed_ms: int | None
    """From ready to vote, as the server knows."""
    address: str | None
    """Keyed hash of the address it came from."""
    created_utc: str

    @property
    def rater(self) -> str:
        """Who cast it."""
        return self.battle.rater

    @property
    def is_main(self) -> bool:
        """Whether it is on what the study is about, not on a known item."""
        return self.item is None or self.item.kind == "main"

    @property
    def is_training(self) -> bool:
        """Whether its rater was only learning."""
        return self.item is not None and self.item.kind == "training"

    @property
    def counts(self) -> bool:
        """Whether it is a result."""
        return self.is_main and self.status is VoteStatus.COUNTED

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by model, 1 is best; empty where no ranks were asked."""
        if self.ballot.ranking is None:
            return {}
        return dict(zip(self.battle.shown_models, self.ballot.ranking, strict=True))

    @property
    def values(self) -> dict[str, dict[str, int]]:
        """Value by model and scale; empty where no scales were asked."""
        found: dict[str, dict[str, int]] = {}
        for scale, values in self.ballot.ratings.items():
            for model, value in zip(self.battle.shown_models, values, strict=True):
                found.setdefault(model, {})[scale] = value
        return found

    @property
    def is_right(self) -> bool | None:
        """Whether it is as expected; None where nothing is."""
        if self.item is None or self.item.kind == "main":
            return None
        values = next(iter(self.values.values()), {})
        return self.item.is_right(chosen_model(self.battle, self.ballot), values)

    @property
    def at_ms(self) -> int:
        """When it was cast, in milliseconds since 1970 UTC."""
        ready_ms = self.battle.ready_ms or self.battle.created_ms
        return ready_ms + (self.elapsed_ms or 0)

    def comparisons(self) -> list[Comparison]:
        """Return what it says of each pair of models; nothing for scales."""
        return list(comparisons_of(self.battle, self.ballot, created_utc=self.created_utc))

    def cast(self) -> CastVote:
        """Return what the checks of raters need."""
        times = [ms for ms in (self.ballot.visible_ms, self.elapsed_ms) if ms is not None]
        return CastVote(
            rater=self.rater,
            choice=_click(self.ballot),
            position=_preferred_position(self.ballot),
            n_positions=max(len(self.battle.sides), 2),
            opinions=self._opinions(),
            shown_s=min(times) / 1000.0 if times else None,
            created_s=self.at_ms / 1000.0,
            is_right=self.is_right,
            address=self.address,
        )

    def _opinions(self) -> dict[tuple[str, ...], str]:
        example = self.battle.example_id
        found: dict[tuple[str, ...], str] = {}
        for said in self.comparisons():
            # Live battles name a pair in either order.
            is_turned = said.model_a > said.model_b
            label: str = "tie" if said.winner == "both_bad" else said.winner
            if is_turned:
                label = {"model_a": "model_b", "model_b": "model_a"}.get(label, label)
            found[example, *sorted((said.model_a, said.model_b))] = label
        for model, values in self.values.items():
            found |= {(example, model, scale): str(value) for scale, value in values.items()}
        return found


def read_votes(
    connection: Connection, study: str, items: Iterable[StudyItem] = ()
) -> list[RecordedVote]:
    """Read all votes of a study, or with an empty name of live battles, that were not undone.

    They come oldest first.
    """
    by_id = {item.id: item for item in items}
    of_study = battle.c.study == study
    battles = {
        row.id: battle_from(row) for row in connection.execute(battle.select().where(of_study))
    }
    query = (
        sa.select(vote)
        .join_from(vote, battle, vote.c.battle_id == battle.c.id)
        .where(of_study, vote.c.status != VoteStatus.UNDONE)
    )
    votes = [
        _vote(row, found, by_id.get(found.item or ""))
        for row in connection.execute(query)
        for found in [battles[row.battle_id]]
    ]
    return sorted(votes, key=lambda vote: (vote.at_ms, vote.battle.id))


def cast_votes(votes: Iterable[RecordedVote]) -> list[CastVote]:
    """Return what the checks of raters look at: all but training and votes that were left out."""
    kept = (VoteStatus.COUNTED, VoteStatus.UNRATED, VoteStatus.UNVERIFIED)
    return [vote.cast() for vote in votes if vote.status in kept and not vote.is_training]


def chosen_model(battle: Battle, ballot: Ballot) -> str:
    """Return the model preferred to all others, ``tie`` or ``both_bad``; empty for none of them."""
    if ballot.choice in ("tie", "both_bad"):
        return ballot.choice
    position = _preferred_position(ballot)
    return "" if position is None else battle.shown_models[position]


def _preferred_position(ballot: Ballot) -> int | None:
    if ballot.ranking is not None:
        best = [place for place, rank in enumerate(ballot.ranking) if rank == min(ballot.ranking)]
        return best[0] if len(best) == 1 else None
    return {"left": 0, "right": 1}.get(ballot.choice or "")


def _click(ballot: Ballot) -> str:
    if ballot.ranking is not None:
        return "-".join(map(str, ballot.ranking))
    if ballot.choice is not None:
        return ballot.choice
    return " ".join(
        f"{scale}={','.join(map(str, values))}" for scale, values in sorted(ballot.ratings.items())
    )


def _vote(row: Any, found: Battle, item: StudyItem | None) -> RecordedVote:
    return RecordedVote(
        battle=found,
        item=item,
        ballot=ballot_from(row),
        status=VoteStatus(row.status),
        sealed=row.sealed,
        elapsed_ms=row.elapsed_ms,
        address=row.ip_hash,
        created_utc=row.created_utc,
    )
