"""Time as the arena keeps it: milliseconds since 1970, UTC."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["Clock", "now_ms", "utc_text"]

Clock = Callable[[], int]


def now_ms() -> int:
    """Return milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def utc_text(at_ms: int) -> str:
    """Return ISO 8601 to the second, as the records have it."""
    return _second_text(at_ms // 1000)


@lru_cache(maxsize=8)
def _second_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
