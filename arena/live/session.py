"""One turn of a battle while it is answered: both sides begin, end and fail together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from arena.live.lanes import Ask, Lane
from arena.live.settings import LiveSettings
from arena.live.streams import AnswerStream, Failure
from arena.masking import Masker
from arena.records import Answer, Battle, Turn
from evalcore.hashing import content_hash
from evalcore.protocols import GenerateRequest
from evalcore.records import Message

__all__ = ["Outcome", "Session"]

Outcome = Literal["answered", "failed", "abandoned"]


class Session:
    """The answers to one turn, by position.

    Parameters
    ----------
    battle
        Whose turn it is.
    turns
        The conversation; its last turn is to be answered.
    masker
        What answers go through.
    settings
        Limits, the same for all.
    clock
        Seconds.
    """

    def __init__(
        self,
        battle: Battle,
        turns: Sequence[Turn],
        *,
        masker: Masker,
        settings: LiveSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._battle = battle
        self._turns = turns
        self._settings = settings
        self._clock = clock
        self._began_s = clock()
        self._changed = threading.Condition()
        self._is_abandoned = False
        asked = "\n".join(m.content for turn in turns for m in turn.prompt)
        self.streams = [
            AnswerStream(
                masker.stream(prompt=asked),
                most_characters=settings.most_characters,
                changed=self._changed,
                clock=clock,
            )
            for _ in battle.sides
        ]

    @property
    def turn(self) -> int:
        """Number of the turn that is answered."""
        return self._turns[-1].number

    def ask(self, lanes: Mapping[str, Lane]) -> None:
        """Ask all models, each in its lane; one that has none, as after a restart, has failed."""
        models = self._battle.shown_models
        for position, (model, stream) in enumerate(zip(models, self.streams, strict=True)):
            if model in lanes:
                ask = Ask(model=model, request=self._request(position), stream=stream)
                lanes[model].submit(ask)
            else:
                stream.fail(Failure(kind="error", message="the model is not served any more"))

    def wait(self) -> Outcome:
        """Wait until all have answered, or one has failed or taken too long; want no more then."""
        with self._changed:
            while not (self._is_abandoned or self._is_over()):
                self._changed.wait(self._check_deadlines())
        for stream in self.streams:
            stream.drop()
        if self._is_abandoned:
            return "abandoned"
        return "failed" if any(stream.failure for stream in self.streams) else "answered"

    def abandon(self) -> None:
        """Want no more of it, and let whoever waits go."""
        with self._changed:
            self._is_abandoned = True
            self._changed.notify_all()

    def answers(self) -> tuple[Answer, ...]:
        """Return the answers as they are shown and kept."""
        return tuple(
            Answer(
                turn=self.turn,
                position=position,
                text=stream.shown,
                finish_reason=stream.finish_reason or "error",
                leaks=stream.leaks,
                timings=stream.timings(),
            )
            for position, stream in enumerate(self.streams)
        )

    def report(self) -> dict[str, Any]:
        """Say who failed and how, for administrators."""
        models, names = self._battle.shown_models, self._battle.shown_names
        failures = [
            {
                "model": models[position],
                "name": names[position],
                "position": position,
                "kind": stream.failure.kind,
                "message": stream.failure.message,
                "n_characters": len(stream.raw),
            }
            for position, stream in enumerate(self.streams)
            if stream.failure is not None
        ]
        return {"turn": self.turn, "failures": failures}

    def _is_over(self) -> bool:
        failed = any(stream.failure for stream in self.streams)
        return failed or all(stream.is_over for stream in self.streams)

    def _check_deadlines(self) -> float:
        """Fail who is too late; return the seconds until somebody could be."""
        now_s, settings = self._clock(), self._settings
        left_s = self._began_s + settings.answer_s - now_s
        soonest_s = left_s
        for stream in self.streams:
            if stream.is_over:
                continue
            patience_s = stream.last_s + settings.silence_s - now_s
            soonest_s = min(soonest_s, patience_s)
            if left_s <= 0:
                message = f"no end after {settings.answer_s:g} s"
                stream.fail(Failure(kind="too_slow", message=message))
            elif patience_s <= 0:
                message = f"nothing for {settings.silence_s:g} s"
                stream.fail(Failure(kind="silent", message=message))
        return max(soonest_s, 0.0)

    def _request(self, position: int) -> GenerateRequest:
        """Make one side's request: its own conversation, and a seed that a repeat has again."""
        messages: list[Message] = []
        for turn in self._turns[:-1]:
            said = turn.answers[position].text
            messages += [*turn.prompt, Message(role="assistant", content=said)]
        last = self._turns[-1]
        seed = int(content_hash([self._battle.id, last.number])[:12], 16)
        params = replace(self._settings.params, seed=seed)
        return GenerateRequest(prompt=(*messages, *last.prompt), params=params)
