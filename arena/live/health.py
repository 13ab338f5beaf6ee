"""Which models can be drawn: one that fails again and again rests for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from arena.live.lanes import Lane

__all__ = ["Health"]

_FAILURES = 2
_FIRST_REST_S = 60.0
_LONGEST_REST_S = 900.0


class Health:
    """Counts each model's failures in a row.

    After two, a model rests for a minute, then is tried again; with every further failure it rests
    twice as long, a quarter of an hour at most. One answer makes good for all.

    Parameters
    ----------
    patience_s
        A lane that has stood still for so long is waited for no longer.
    clock
        Seconds.
    """

    def __init__(self, *, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lanes: Mapping[str, Lane] = {}
        self._patience_s = patience_s
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._rests_until_s: dict[str, float] = {}
        self._lock = threading.Lock()

    def watch(self, lanes: Mapping[str, Lane]) -> None:
        """Take that models run now, by fingerprint; without a lane none can be drawn."""
        self._lanes = lanes

    def answered(self, model: str) -> None:
        """Note that a model gave an answer."""
        with self._lock:
            self._failures.pop(model, None)
            self._rests_until_s.pop(model, None)

    def failed(self, model: str) -> None:
        """Note that a model gave none."""
        with self._lock:
            n = self._failures[model] = self._failures.get(model, 0) + 1
            if n >= _FAILURES:
                rest_s = min(_FIRST_REST_S * 2 ** (n - _FAILURES), _LONGEST_REST_S)
                self._rests_until_s[model] = self._clock() + rest_s

    def available(self, models: Iterable[str]) -> list[str]:
        """Return those that can be drawn now, in the order given."""
        now_s = self._clock()
        with self._lock:
            return [
                model
                for model in models
                if model in self._lanes
                and self._rests_until_s.get(model, 0.0) <= now_s
                and self._lanes[model].stalled_s() < self._patience_s
            ]
