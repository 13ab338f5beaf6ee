"""A study as a source of battles: what a rater gets next, noted as the battle is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.clock import Clock, now_ms, utc_text
from arena.masking import Masker, names_of
from arena.recorded import read_votes
from arena.records import (
    Ballot,
    Battle,
    BattleStatus,
    Finished,
    Form,
    Pairing,
    Progress,
    Rater,
    Waiting,
)
from arena.refusals import Refused
from arena.studies.assignment import Assignment, RaterHistory, Tally, assign, planned, sides_of
from arena.studies.definition import StudyDefinition
from arena.studies.items import StudyItem
from arena.studies.registry import RegisteredStudy
from arena.studies.stopping import (
    closed_items,
    complete_means,
    decide,
    is_decided,
    kept_decisions,
)
from evalcore.records import ModelSpec
from evalcore.store.arena_schema import battle as battle_table
from evalcore.store.arena_schema import exposure, study
from evalcore.store.database import insert_rows

__all__ = ["StudySource", "form_of"]

_SHOWN_AS: Mapping[BattleStatus, str] = {
    BattleStatus.VOTED: "done",
    BattleStatus.SKIPPED: "released",
    BattleStatus.EXPIRED: "released",
    BattleStatus.VOID: "released",
}
"""What becomes of an exposure; it stays open in all other states of its battle."""
_POSITION_WORDS = ("left", "right")


class StudySource:
    """Gives out a registered study's items.

    Parameters
    ----------
    registered
        The study.
    variants
        Specs by fingerprint, for what models may call themselves.
    clock
        Milliseconds since 1970.
    """

    def __init__(
        self,
        registered: RegisteredStudy,
        *,
        variants: Mapping[str, ModelSpec] | None = None,
        clock: Clock = now_ms,
    ) -> None:
        self._registered = registered
        self._plan = registered.plan
        self._items = {item.id: item for item in registered.items}
        self._masker = Masker(_names(registered, variants or {}))
        self._clock = clock

    @property
    def study(self) -> str:
        """Name of the study."""
        return self._registered.name

    def next_battle(
        self, connection: Connection, rater: Rater, *, prompt: str | None
    ) -> Pairing | Waiting | Finished:
        """Choose a rater's next item; a typed prompt is not for studies and is ignored.

        The arena lets one replica at a time do this for a study, so that no rating is given twice.

        Raises
        ------
        Refused
            ``not_signed_in`` for a visitor of a study by link or account.
        """
        self._check_admission(rater)
        row = connection.execute(study.select().where(study.c.name == self.study)).one()
        if row.status == "locked":
            return Finished(reason="complete", message="This study has ended. Thank you.")
        history = self._history(connection, rater)
        if not history.shown and self._is_full(connection):
            return Finished(reason="quota", message="This study has all the raters it needs.")
        tallies = self._tallies(connection)
        decisions = self._look(connection, tallies, row.decisions or {})
        found = assign(
            self._plan, history, tallies, closed=closed_items(self._registered, decisions)
        )
        if isinstance(found, Assignment):
            return self._pairing(found)
        if found is not None:
            return Waiting(message="All remaining items are with other raters; one may come back.")
        return self._finished(decisions, history)

    def opened(self, connection: Connection, battle: Battle) -> None:
        """Note that a rater is shown an item."""
        item = self._items[battle.item or ""]
        turned = [sides_of(self._plan, item, turn) for turn in range(len(item.answers))]
        row = {
            "study": self.study,
            "item": item.id,
            "rater": battle.rater,
            "battle_id": battle.id,
            "kind": item.kind,
            "rotation": turned.index(battle.sides),
            "status": "open",
            "created_utc": utc_text(battle.created_ms),
        }
        insert_rows(connection, exposure, [row])

    def settled(self, connection: Connection, battle: Battle, ballot: Ballot | None) -> None:
        """Note that a rating is done, or that the item is free for another rater."""
        connection.execute(
            exposure.update()
            .where(exposure.c.battle_id == battle.id)
            .values(status=_SHOWN_AS.get(battle.status, "open"))
        )

    def progress(self, connection: Connection, rater: Rater) -> Progress | None:
        """How many items a rater has done of those planned, known ones among them."""
        query = sa.select(sa.func.count()).where(
            exposure.c.study == self.study,
            exposure.c.rater == rater.id,
            exposure.c.status == "done",
        )
        return Progress(
            done=connection.scalar(query) or 0, total=planned(self._plan, rater=rater.id)
        )

    def _check_admission(self, rater: Rater) -> None:
        join = self._registered.definition.join
        if join != "open" and rater.origin != join:
            how = {"link": "open the link you were sent", "account": "sign in with your account"}
            raise Refused("not_signed_in", f"To take part, {how[join]}.")

    def _is_full(self, connection: Connection) -> bool:
        most = self._registered.definition.raters
        if most is None:
            return False
        query = sa.select(sa.func.count(exposure.c.rater.distinct())).where(
            exposure.c.study == self.study
        )
        return int(connection.scalar(query) or 0) >= most

    def _history(self, connection: Connection, rater: Rater) -> RaterHistory:
        query = sa.select(
            exposure.c.item, exposure.c.rotation, exposure.c.kind, exposure.c.status
        ).where(exposure.c.study == self.study, exposure.c.rater == rater.id)
        rows = connection.execute(query).all()
        return RaterHistory(
            rater=rater.id,
            shown={row.item: row.rotation for row in rows},
            n_main=sum(row.kind == "main" and row.status != "released" for row in rows),
        )

    def _tallies(self, connection: Connection) -> dict[str, Tally]:
        columns = exposure.c
        of_study = columns.study == self.study
        counted = sa.func.count().label("n")
        done = (
            sa.select(columns.item, columns.rotation, counted)
            .where(of_study, columns.status == "done")
            .group_by(columns.item, columns.rotation)
        )
        still_open = (
            sa.select(columns.item, columns.rotation, counted)
            .join(battle_table, battle_table.c.id == columns.battle_id)
            .where(of_study, columns.status == "open", battle_table.c.expires_ms >= self._clock())
            .group_by(columns.item, columns.rotation)
        )
        turned: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        n_open: dict[str, int] = defaultdict(int)
        for row in connection.execute(done):
            turned[row.item][row.rotation] += row.n
        for row in connection.execute(still_open):
            turned[row.item][row.rotation] += row.n
            n_open[row.item] += row.n
        return {
            item: Tally(n=sum(by.values()), by_rotation=dict(by), n_open=n_open[item])
            for item, by in turned.items()
        }

    def _look(
        self, connection: Connection, tallies: Mapping[str, Tally], before: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Apply the stop rule if more items are complete than at the last look."""
        if self._registered.definition.stop.rule == "fixed":
            return before
        wanted = self._plan.ratings_per_item
        main = {item.id for item in self._plan.of_kind("main")}
        n_complete = sum(
            tally.n - tally.n_open >= wanted for item, tally in tallies.items() if item in main
        )
        if n_complete <= before.get("n_complete", 0):
            return before
        votes = read_votes(connection, self.study, self._registered.items)
        n_looked_at = sum(map(len, complete_means(self._registered, votes).values()))
        found = decide(self._registered, votes)
        decisions = kept_decisions(before, found, n_complete=n_looked_at)
        values: dict[str, Any] = {"decisions": decisions}
        if _all_decided(decisions):
            values["stop_reason"] = f"every pair was decided after {n_looked_at} items"
        connection.execute(study.update().where(study.c.name == self.study).values(**values))
        return decisions

    def _finished(self, decisions: Mapping[str, Any], history: RaterHistory) -> Finished:
        if _all_decided(decisions):
            return Finished(reason="stopped", message="This study has its answer. Thank you.")
        quota = self._plan.items_per_rater
        if quota is not None and history.n_main >= quota:
            return Finished(reason="quota", message="You have rated all your items. Thank you.")
        return Finished(reason="complete", message="Nothing is left to rate. Thank you.")

    def _pairing(self, assignment: Assignment) -> Pairing:
        item = assignment.item
        definition = self._registered.definition
        sides = sides_of(self._plan, item, assignment.rotation)
        asked = "\n".join([item.example.messages[-1].content, *item.example.follow_ups])
        masked = [
            [self._masker.mask(turn, prompt=asked) for turn in answer.turns]
            for answer in item.answers
        ]
        leaks = {
            answer.name: [leak for turn in turns for leak in turn.leaks]
            for answer, turns in zip(item.answers, masked, strict=True)
        }
        shows_names = definition.reveal and item.kind == "main"
        return Pairing(
            models=item.models,
            names=tuple(answer.name if shows_names else "" for answer in item.answers),
            example=item.example,
            answers=tuple(tuple(turn.text for turn in turns) for turns in masked),
            item=item.id,
            sides=sides,
            side_seed=definition.seed,
            rated=item.kind == "main",
            form=form_of(definition),
            category=item.example.category,
            flags={"leaks": leaks} if any(leaks.values()) else {},
            note=_note(item, sides) if item.kind == "training" else "",
            lifetime_s=definition.lease_s,
        )


def form_of(definition: StudyDefinition) -> Form:
    """Return what a study asks of each item."""
    scales = {scale.name: (scale.low, scale.high) for scale in definition.scales}
    if definition.kind == "rating":
        scales |= dict.fromkeys(definition.labels, (0, 1))
    return Form(
        kind=definition.kind,
        allows_tie=definition.choices.tie,
        allows_both_bad=definition.choices.both_bad,
        scales=scales,
        reasons=() if definition.kind == "rating" else tuple(definition.labels),
    )


def _names(registered: RegisteredStudy, variants: Mapping[str, ModelSpec]) -> Collection[str]:
    """Return what the study's models may call themselves."""
    found = dict.fromkeys(registered.model_names.values())
    for model in registered.model_names:
        if model in variants:
            found |= dict.fromkeys(names_of(variants[model]))
    return list(found)


def _note(item: StudyItem, sides: tuple[int, ...]) -> str:
    """Return what a rater in training is told, in terms of what stood on the page.

    A choice is a key of the page's table of texts in braces, to be said in the rater's language.
    """
    right = f"{{{item.expected}}}" if item.expected else ""
    if item.expected in item.models:
        position = sides.index(item.models.index(item.expected))
        right = f"{{{_POSITION_WORDS[position]}}}" if len(sides) == 2 else str(position + 1)
    scales = [f"{name} {low}–{high}" for name, (low, high) in item.expected_scales.items()]
    return ": ".join(part for part in (right or ", ".join(scales), item.why) if part)


def _all_decided(decisions: Mapping[str, Any]) -> bool:
    pairs = decisions.get("pairs", {})
    return bool(pairs) and all(is_decided(decision) for decision in pairs.values())
