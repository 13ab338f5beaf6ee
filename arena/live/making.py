"""Making the answers of live battles: a queue, some workers, and what happens when models fail."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from arena.live.admission import Admission
from arena.live.health import Health
from arena.live.lanes import Lane
from arena.live.queueing import BoundedQueue
from arena.live.session import Outcome, Session
from arena.live.settings import LiveSettings
from arena.live.streams import Failure
from arena.masking import Masker
from arena.page.frames import Draft
from arena.records import Answer, Battle, Rater, Turn
from arena.refusals import Refused

__all__ = ["Desk", "LiveLoad", "LiveMaker"]

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0
_CLOSING_S = 5.0


class Desk(Protocol):
    """What a maker needs of the arena; called from its threads."""

    def conversation(self, battle_id: str) -> tuple[Turn, ...]:
        """Return what was asked and answered so far; nothing if no answer is waited for."""

    def streaming(self, battle_id: str) -> None:
        """Note that answers are being made."""

    def answered(self, battle_id: str, answers: tuple[Answer, ...]) -> Battle:
        """Store a turn's answers and make the battle ready to vote."""

    def failed(self, battle_id: str, *, reason: str, detail: Mapping[str, Any]) -> None:
        """Void a battle that could not be answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveLoad:
    """How busy a maker is."""

    n_running: int
    n_waiting: int
    n_answered: int
    """Turns, so far."""
    n_failed: int
    n_unmoderated: int
    """Texts that moderation could not look at."""


class LiveMaker:
    """Makes answers; see :class:`arena.sources.AnswerMaker`.

    A battle is answered by both models or by neither: if one raises, is silent or takes too long,
    the other is stopped as well, the battle is void, and who failed stands in its events alone.

    Parameters
    ----------
    masker
        What answers go through.
    settings
        Limits.
    admission
        What is let in.
    health
        Told how models do.
    """

    def __init__(
        self,
        masker: Masker,
        *,
        settings: LiveSettings,
        admission: Admission,
        health: Health,
    ) -> None:
        self._lanes: Mapping[str, Lane] = {}
        self._is_connected = threading.Event()
        self._masker = masker
        self._settings = settings
        self._admission = admission
        self._health = health
        self._queue: BoundedQueue[tuple[Battle, int]] = BoundedQueue(
            most_waiting=settings.most_waiting
        )
        self._known: dict[str, int] = {}
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._n_answered = 0
        self._n_failed = 0

    def start(self, desk: Desk) -> None:
        """Begin to answer; reports go to the desk."""
        for _ in range(self._settings.most_running):
            thread = threading.Thread(
                target=self._serve, args=(desk,), name="arena-battle", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def connect(self, lanes: Mapping[str, Lane]) -> None:
        """Take the lanes that models run in; they are closed with the maker."""
        self._lanes = lanes
        self._health.watch(lanes)
        self._is_connected.set()

    def close(self) -> None:
        """Stop. Battles under way stay as they are, to be begun again when they are resumed."""
        self._closing.set()
        self._is_connected.set()
        self._queue.close()
        for session in list(self._sessions.values()):
            session.abandon()
        for thread in self._threads:
            thread.join(_CLOSING_S)
        for lane in set(self._lanes.values()):
            lane.close()

    # what the arena asks

    async def admit(self, rater: Rater, prompt: str | None) -> None:
        """Let a prompt in, and keep a place in the queue for it.

        Raises
        ------
        Refused
            ``too_large``, ``prompt_refused`` or ``queue_full``.
        """
        if prompt is not None:
            await asyncio.to_thread(self._admission.check_prompt, prompt)
        if not self._queue.promise(rater.id):
            raise Refused("queue_full", retry_after_s=round(self._settings.silence_s))

    def begin(self, battle: Battle, turn: int) -> None:
        """Queue a turn, unless it is being answered already."""
        with self._lock:
            if self._known.get(battle.id) == turn:
                return
            self._known[battle.id] = turn
        self._queue.put(battle.id, (battle, turn), visitor=battle.rater)

    def place(self, battle_id: str) -> int | None:
        """Return the place in the queue, 1 is next; None if it is not waiting."""
        return self._queue.place(battle_id)

    def drafts(self, battle_id: str) -> list[Draft]:
        """Return the answers of the present turn as far as they are, masked, by position."""
        session = self._sessions.get(battle_id)
        if session is None or session.turn != self._known.get(battle_id):
            return []
        return [
            Draft(text=stream.shown, is_complete=stream.finish_reason is not None)
            for stream in session.streams
        ]

    def abandon(self, battle_id: str) -> None:
        """Make no more answers for a battle that its visitor has left; must not wait."""
        waiting = self._queue.leave(battle_id)
        if waiting is not None:
            self._forget(*waiting)
        session = self._sessions.get(battle_id)
        if session is not None:
            session.abandon()

    def load(self) -> LiveLoad:
        """Say how busy it is."""
        return LiveLoad(
            n_running=len(self._sessions),
            n_waiting=len(self._queue),
            n_answered=self._n_answered,
            n_failed=self._n_failed,
            n_unmoderated=self._admission.n_outages,
        )

    # its threads

    def _serve(self, desk: Desk) -> None:
        self._is_connected.wait()
        while (task := self._queue.take()) is not None:
            battle, turn = task
            try:
                self._answer(desk, battle, turn)
            except Exception as error:
                # One battle's trouble must not end the thread that the next ones need.
                _LOG.exception("arena: battle %s could not be answered", battle.id)
                self._give_up(desk, battle, error)
            finally:
                self._forget(battle, turn)

    def _answer(self, desk: Desk, battle: Battle, turn: int) -> None:
        turns = self._patiently(partial(desk.conversation, battle.id))
        if turns is None or len(turns) != turn + 1:
            return  # answered, void or gone on since a page asked for it
        session = Session(battle, turns, masker=self._masker, settings=self._settings)
        self._sessions[battle.id] = session
        if self._closing.is_set():
            return
        session.ask(self._lanes)
        self._patiently(partial(desk.streaming, battle.id))
        outcome = session.wait()
        if outcome == "answered":
            outcome = self._moderate(session)
        if outcome == "answered":
            self._patiently(partial(desk.answered, battle.id, session.answers()))
        elif outcome == "failed":
            report = session.report()
            _LOG.warning("arena: battle %s failed: %s", battle.id, report)
            self._patiently(partial(desk.failed, battle.id, reason="no_answer", detail=report))
        self._count(battle, session, outcome)

    def _give_up(self, desk: Desk, battle: Battle, error: Exception) -> None:
        """Let a visitor go on whose battle broke something of ours, unless it is gone by now."""
        detail = {"failures": [], "broken": f"{type(error).__name__}: {error}"}
        with suppress(Refused):
            desk.failed(battle.id, reason="no_answer", detail=detail)

    def _moderate(self, session: Session) -> Outcome:
        """Look at each answer."""
        for stream in session.streams:
            reason = self._admission.why_not(stream.raw)
            if reason is not None:
                stream.failure = Failure(kind="refused", message=reason)
        return "failed" if any(stream.failure for stream in session.streams) else "answered"

    def _count(self, battle: Battle, session: Session, outcome: Outcome) -> None:
        for model, stream in zip(battle.shown_models, session.streams, strict=True):
            if stream.finish_reason is not None:
                self._health.answered(model)
            elif stream.failure is not None:
                self._health.failed(model)
        with self._lock:
            self._n_answered += outcome == "answered"
            self._n_failed += outcome == "failed"

    def _forget(self, battle: Battle, turn: int) -> None:
        """Forget a turn, unless the next one has begun already."""
        with self._lock:
            if self._known.get(battle.id) == turn:
                del self._known[battle.id]
                self._sessions.pop(battle.id, None)

    def _patiently(self, act: Callable[[], T]) -> T | None:
        """Do something in the database as soon as that is there; None if the service ends first."""
        while not self._closing.is_set():
            try:
                return act()
            except Refused as refusal:
                if refusal.code != "store_unavailable":
                    raise
                self._closing.wait(_RETRY_S)
        return None
