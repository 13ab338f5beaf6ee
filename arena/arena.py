"""The arena: every act of a rater as one method, one transaction each.

Routes, the Gradio page, studies and live battles all go through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arena.records import (
    Answer,
    Ballot,
    Battle,
    BattleView,
    Cookies,
    Finished,
    Rater,
    Receipt,
    Reveal,
    Turn,
    Waiting,
)
from arena.settings import ArenaSettings
from arena.sources import AnswerMaker, BattleSource, Verifier
from evalcore.store import Store

__all__ = ["Arena"]


class Arena:
    """One arena over one store; replicas over the same store are neutral to each other.

    Raises
    ------
    Refused
        From every method that acts for a rater, with the reason to tell.
    """

    # being written: the signatures are what the others build on

    def __init__(
        self,
        store: Store,
        source: BattleSource,
        *,
        settings: ArenaSettings,
        maker: AnswerMaker | None = None,
        verifier: Verifier | None = None,
    ) -> None: ...

    def identify(self, cookies: Cookies) -> Rater | None:
        """Return who a request's cookies name; also for Gradio handlers (``request.cookies``)."""

    async def next(
        self, rater: Rater, *, prompt: str | None = None, advance: bool = False
    ) -> BattleView | Waiting | Finished:
        """Resume the rater's open battle or open the next one.

        A voted battle whose names were not told yet is resumed as such; ``advance`` seals it first.
        """

    async def view(self, rater: Rater, token: str) -> BattleView:
        """Return a battle as the browser may see it."""

    async def vote(
        self, rater: Rater, token: str, ballot: Ballot, *, reveal: bool
    ) -> tuple[Receipt, Reveal | None]:
        """Commit a vote; with ``reveal`` seal it and tell the names."""

    async def reveal(self, rater: Rater, token: str) -> tuple[Receipt, Reveal]:
        """Seal the vote that is there and tell the names."""

    async def undo(self, rater: Rater, token: str) -> BattleView:
        """Take an unsealed vote back; the battle is ready again."""

    async def skip(self, rater: Rater, token: str, reason: str) -> None:
        """End a battle without a vote."""

    async def report_mistake(self, rater: Rater, token: str, comment: str) -> Receipt:
        """Leave a sealed vote out of ratings because its rater says it was a mistake."""

    async def add_turn(self, rater: Rater, token: str, prompt: str) -> BattleView:
        """Go on with a live battle before the vote."""

    # for whoever makes answers

    def streaming(self, battle_id: str) -> None:
        """Note that the first piece of an answer was shown."""

    def answered(self, battle_id: str, answers: tuple[Answer, ...]) -> Battle:
        """Store a turn's answers, all positions at once, and make the battle ready to vote."""

    def failed(self, battle_id: str, *, reason: str, detail: Mapping[str, Any]) -> None:
        """Void a battle that could not be answered, and free its rater for the next one.

        ``reason`` is a code for the page, ``no_answer``; it names no side. ``detail`` says who
        failed and how: it goes into a ``vote_event`` of kind ``no_answer`` and to administrators.
        """

    def conversation(self, battle_id: str) -> tuple[Turn, ...]:
        """Return what was asked and answered so far, the turn to be answered last."""

    # for administrators (studies, admin page)

    def void(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Leave a vote out of ratings; undone by :meth:`unvoid`."""

    def unvoid(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Count a voided vote again."""

    def accept(self, battle_id: str, *, actor: str, reason: str) -> None:
        """Count an unverified vote."""
