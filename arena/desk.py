"""Where whoever makes answers reads what was asked, and reports what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from arena import battles, votes
from arena.clock import Clock
from arena.records import Answer, Battle, BattleStatus, Turn
from arena.sources import BattleSource
from arena.telemetry import Telemetry
from arena.writer import Writer

__all__ = ["AnswerDesk"]


class AnswerDesk:
    """Each report is one transaction; all of them wait, so not from a coroutine.

    Parameters
    ----------
    writer
        Does the transactions.
    source
        Hears of battles that end without an answer.
    clock
        Milliseconds since 1970.
    telemetry
        Counts them.
    """

    def __init__(
        self,
        writer: Writer,
        source: BattleSource,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._writer = writer
        self._source = source
        self._clock = clock
        self._telemetry = telemetry

    def streaming(self, battle_id: str) -> None:
        """Note that the first piece of an answer was shown."""
        self._writer.call(lambda connection: battles.mark_streaming(connection, battle_id))

    def answered(self, battle_id: str, answers: Sequence[Answer]) -> Battle:
        """Store a turn's answers, all positions at once, and make the battle ready to vote."""
        now_ms = self._clock()
        return self._writer.call(
            lambda connection: battles.store_answers(connection, battle_id, answers, now_ms=now_ms)
        )

    def failed(self, battle_id: str, *, reason: str, detail: Mapping[str, Any]) -> None:
        """Void a battle that could not be answered, and free its rater for the next one.

        Parameters
        ----------
        battle_id
            One that is being answered; any other stays as it is.
        reason
            A code that names no side, such as ``no_answer``.
        detail
            Who failed and how: kept as a ``vote_event``, seen by administrators alone.
        """

        def work(connection: Connection) -> None:
            battle = battles.find_battle(connection, battle_id)
            if battle.is_unanswered:
                ended = battles.set_status(connection, battle, BattleStatus.VOID, reason=reason)
                votes.note(
                    connection,
                    battle_id,
                    reason,
                    actor="system",
                    detail=detail,
                    now_ms=self._clock(),
                )
                self._source.settled(connection, ended, None)

        self._writer.call(work)
        self._telemetry.battles.labels("unanswered").inc()

    def conversation(self, battle_id: str) -> tuple[Turn, ...]:
        """Return the turns, the one to be answered last; nothing if no answer is waited for."""

        def work(connection: Connection) -> tuple[Turn, ...]:
            battle = battles.find_battle(connection, battle_id)
            return battles.turns(connection, battle) if battle.is_unanswered else ()

        return self._writer.call(work)
