"""How often somebody may ask: by rater and, ten times as much, by address."""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections.abc import Sequence
from typing import Literal

from limits import RateLimitItem, parse_many
from limits.errors import ConfigurationError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from arena.refusals import Refused
from arena.settings import ArenaSettings
from evalcore.errors import InputError

__all__ = ["Limits", "What"]

What = Literal["vote", "battle", "login"]
_PER_ADDRESS = 10


class Limits:
    """Counts requests in fixed windows.

    Addresses are counted under a keyed hash. Its key lives in this process alone, or is made from
    the arena's secret where replicas count together.

    Raises
    ------
    InputError
        If a limit or the storage is not in the notation of the limits library.
    """

    def __init__(self, settings: ArenaSettings) -> None:
        is_shared = settings.limits_storage != "memory://"
        self._key = settings.secret.encode() if is_shared else secrets.token_bytes(32)
        self._of_rater = {
            "vote": _parsed("vote_limit", settings.vote_limit),
            "battle": _parsed("battle_limit", settings.battle_limit),
            "login": (),
        }
        self._of_address = {
            "vote": _multiplied(self._of_rater["vote"]),
            "battle": _multiplied(self._of_rater["battle"]),
            "login": _parsed("login_limit", settings.login_limit),
        }
        try:
            storage = storage_from_string(settings.limits_storage)
        except (ConfigurationError, ImportError) as error:
            raise InputError(f"limits_storage {settings.limits_storage!r}: {error}") from error
        self._limiter = FixedWindowRateLimiter(storage)

    def check(self, what: What, *, rater_id: str | None, address: str | None) -> None:
        """Count a request.

        Raises
        ------
        Refused
            ``too_many``, with the seconds until the window ends.
        """
        if rater_id is not None:
            self._count(self._of_rater[what], f"{what}/rater/{rater_id}")
        if address is not None:
            digest = hmac.digest(self._key, address.encode(), "sha256").hex()
            self._count(self._of_address[what], f"{what}/address/{digest}")

    def _count(self, limits: Sequence[RateLimitItem], name: str) -> None:
        for limit in limits:
            if not self._limiter.hit(limit, name):
                ends_at = self._limiter.get_window_stats(limit, name).reset_time
                raise Refused("too_many", retry_after_s=max(1, math.ceil(ends_at - time.time())))


def _parsed(name: str, text: str) -> tuple[RateLimitItem, ...]:
    try:
        return tuple(parse_many(text)) if text else ()
    except ValueError as error:
        raise InputError(f"{name} must be such as '60/minute'; got {text!r}") from error


def _multiplied(limits: Sequence[RateLimitItem]) -> tuple[RateLimitItem, ...]:
    return tuple(type(limit)(_PER_ADDRESS * limit.amount, limit.multiples) for limit in limits)
