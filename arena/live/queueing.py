"""A bounded queue in which everybody knows their place."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["BoundedQueue"]

T = TypeVar("T")

_PROMISE_S = 30.0
"""A place that was promised and not taken by then is given to others."""


class BoundedQueue(Generic[T]):
    """First come, first served, each key once.

    Parameters
    ----------
    most_waiting
        Places. They are promised before anything else is done for a visitor, so that nobody is
        sent away later.
    clock
        Seconds.
    """

    def __init__(self, *, most_waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_waiting = most_waiting
        self._clock = clock
        self._waiting: OrderedDict[str, T] = OrderedDict()
        self._promised: dict[str, float] = {}
        self._n_idle = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def promise(self, visitor: str) -> bool:
        """Keep a place for a visitor, unless all are taken; returns which."""
        with self._changed:
            self._forget_promises()
            others = len(self._promised.keys() - {visitor})
            if len(self._waiting) + others >= self._most_waiting + self._n_idle:
                return False
            self._promised[visitor] = self._clock()
            return True

    def put(self, key: str, item: T, *, visitor: str) -> None:
        """Take the place; a key that waits already keeps the one it has."""
        with self._changed:
            self._promised.pop(visitor, None)
            self._waiting.setdefault(key, item)
            self._changed.notify()

    def take(self) -> T | None:
        """Wait for the first in the queue; None once it is closed."""
        with self._changed:
            self._n_idle += 1
            try:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
            finally:
                self._n_idle -= 1
            return None if self._is_closed else self._waiting.popitem(last=False)[1]

    def leave(self, key: str) -> T | None:
        """Give a place up; returns what was in it."""
        with self._changed:
            return self._waiting.pop(key, None)

    def place(self, key: str) -> int | None:
        """Return the place, 1 is next; None if it doesn't wait, or only for a moment."""
        with self._changed:
            if key not in self._waiting:
                return None
            place = list(self._waiting).index(key) + 1 - self._n_idle
            return place if place > 0 else None

    def close(self) -> None:
        """Let everybody who waits for the first in the queue go."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _forget_promises(self) -> None:
        oldest_s = self._clock() - _PROMISE_S
        self._promised = {who: at for who, at in self._promised.items() if at > oldest_s}
