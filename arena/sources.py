"""The seams of the arena: where battles come from, who makes answers, who checks visitors.

Studies implement :class:`BattleSource`; live mode also implements :class:`AnswerMaker`.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.engine import Connection

from arena.records import Ballot, Battle, Finished, Pairing, Progress, Rater, Waiting

__all__ = ["AnswerMaker", "BattleSource", "Verifier"]


class BattleSource(Protocol):
    """Decides what is compared next.

    Methods that get a connection run inside a transaction of the arena's one writer: they read and
    write through it and never wait for anything else. Raising undoes the transaction.
    """

    @property
    def study(self) -> str:
        """Name of the study; empty for live battles."""

    def next_battle(
        self, connection: Connection, rater: Rater, *, prompt: str | None
    ) -> Pairing | Waiting | Finished:
        """Choose a rater's next battle; the transaction goes on and opens it.

        ``prompt`` is what the visitor typed, None in a study or to draw one.
        """

    def opened(self, connection: Connection, battle: Battle) -> None:
        """Note in the opening transaction that the chosen pairing has become this battle."""

    def settled(self, connection: Connection, battle: Battle, ballot: Ballot | None) -> None:
        """Note in its transaction that a battle was voted, changed, undone, skipped or expired.

        ``battle.status`` is the new one; ``ballot`` is None unless it is ``voted``.
        """

    def progress(self, connection: Connection, rater: Rater) -> Progress | None:
        """How far a rater is."""


class AnswerMaker(Protocol):
    """Makes answers of battles that were opened without; live mode."""

    async def admit(self, rater: Rater, prompt: str | None) -> None:
        """Let a prompt in before anything is written: moderation, a queue that has room.

        Raises
        ------
        Refused
            With the reason to tell the visitor.
        """

    def begin(self, battle: Battle, turn: int) -> None:
        """Start to answer a turn; called after the commit, must not wait.

        The maker reads the turn and reports at :class:`arena.desk.AnswerDesk`. Beginning what is
        being answered already changes nothing: a battle that is resumed here after its process
        died is begun again.
        """

    def place(self, battle_id: str) -> int | None:
        """Place in the queue, 1 is next; None if it is not waiting."""


class Verifier(Protocol):
    """Checks a vote's evidence, such as a captcha, outside of any transaction."""

    async def verify(self, rater: Rater, evidence: str) -> bool:
        """Return whether the evidence is good; raising or taking too long is an outage."""
