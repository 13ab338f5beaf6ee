"""One answer as it is written by a model and read by the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from arena.masking import MaskingStream
from evalcore.records import FinishReason

__all__ = ["AnswerStream", "Failure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an answer can't be had; for the record, never for the visitor."""

    kind: str
    """``error``, ``silent``, ``too_slow`` or ``refused`` by moderation."""
    message: str


class AnswerStream:
    """Written by the thread of a model, read by others; a condition tells of every change.

    Parameters
    ----------
    masking
        What the answer goes through before anybody sees it.
    most_characters
        A longer answer is cut there, before masking.
    changed
        Shared by the answers of a battle.
    clock
        Seconds.
    """

    def __init__(
        self,
        masking: MaskingStream,
        *,
        most_characters: int,
        changed: threading.Condition,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._masking = masking
        self._room = most_characters
        self._changed = changed
        self._clock = clock
        self._raw: list[str] = []
        self._shown: list[str] = []
        self._asked_s = clock()
        self._first_s: float | None = None
        self._last_s = self._asked_s
        self.finish_reason: FinishReason | None = None
        """None while it goes on."""
        self.failure: Failure | None = None
        self._is_dropped = False

    # the model's side

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for more."""
        return not (self._is_dropped or self.finish_reason or self.failure)

    def add(self, piece: str) -> None:
        """Take what the model says next; nothing once the answer is over."""
        with self._changed:
            if not self.is_wanted or not piece:
                return
            kept = _storable(piece[: self._room])
            self._room -= len(kept)
            self._last_s = self._clock()
            self._first_s = self._first_s or self._last_s
            self._raw.append(kept)
            self._shown.append(self._masking.feed(kept))
            if len(kept) < len(piece):
                self._finish("length")
            self._changed.notify_all()

    def end(self, reason: FinishReason) -> None:
        """Take that the model is done."""
        with self._changed:
            if self.is_wanted:
                self._finish(reason)
                self._changed.notify_all()

    def fail(self, failure: Failure) -> None:
        """Take that there will be no answer; nothing once it is over."""
        with self._changed:
            if self.is_wanted:
                self.failure = failure
                self._changed.notify_all()

    # the battle's side

    def drop(self) -> None:
        """Want no more of it."""
        with self._changed:
            self._is_dropped = True

    @property
    def is_over(self) -> bool:
        """Whether it ended or failed."""
        return self.finish_reason is not None or self.failure is not None

    @property
    def raw(self) -> str:
        """As the model wrote it, but for characters that can't be stored."""
        return "".join(self._raw)

    @property
    def shown(self) -> str:
        """As far as it may be seen."""
        return "".join(self._shown)

    @property
    def leaks(self) -> tuple[str, ...]:
        """What was masked."""
        return self._masking.leaks

    @property
    def last_s(self) -> float:
        """When the model was last heard of."""
        return self._last_s

    def timings(self) -> dict[str, int]:
        """Milliseconds from the question to the first piece, if there was one, and to the last."""
        marks = {"first_piece_ms": self._first_s, "last_piece_ms": self._last_s}
        return {
            name: round(1000 * (at - self._asked_s)) for name, at in marks.items() if at is not None
        }

    def _finish(self, reason: FinishReason) -> None:
        self._last_s = self._clock()
        self._shown.append(self._masking.finish())
        self.finish_reason = reason


def _storable(text: str) -> str:
    """Replace what no database stores: halves of surrogate pairs, and the character 0."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
