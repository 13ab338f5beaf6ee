"""What a failed attempt means: try again, when, or let it be."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

import aiohttp
import httpx2
import openai

from runners.endpoint.wire import BadReplyError, OtherModelError

__all__ = ["LONGEST_WAIT_S", "Failure", "backoff_s", "failure_of", "retry_after_s"]

LONGEST_WAIT_S: Final = 120.0
"""A server that wants more patience than this is taken at its word, and not asked again."""

_FIRST_WAIT_S = 0.5
_LONGEST_BACKOFF_S = 60.0
_LONGEST_REASON = 160
_SECONDS = re.compile(r"\d+(\.\d+)?")
_TRANSIENT = frozenset({408, 409, 425, 429})
_USED_UP = ("insufficient_quota", "billing_hard_limit_reached", "quota_exceeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt brought no answer."""

    reason: str
    """A few words on one line, the same for failures of the same kind."""
    kind: Literal["transient", "refused", "unusable", "unreachable", "other_model"]
    """``transient``: the same call may do better later. ``refused``: this call won't, others may.
    ``unusable``: no call will, for the key, the model's name or the quota. ``unreachable``: nothing
    listens there. ``other_model``: another model answered."""
    may_cost: bool = False
    """Whether the server may have answered, and billed, without the answer arriving."""
    wait_s: float | None = None
    """How long the server asks to wait."""
    status: int | None = None
    """Of HTTP."""


def failure_of(error: Exception, *, url: str) -> Failure:
    """Tell what an exception of the client, a time-out or an unreadable reply means."""
    if isinstance(error, openai.APIStatusError):
        return _status_failure(error)
    if isinstance(error, openai.APIConnectionError) and _never_connected(error):
        return Failure(reason=f"{url} can't be reached", kind="unreachable")
    if isinstance(error, openai.APIConnectionError) and _was_lost(error):
        return Failure(reason="connection was lost", kind="transient", may_cost=True)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Failure(reason="no answer in time", kind="transient", may_cost=True)
    if isinstance(error, BadReplyError | openai.APIResponseValidationError | httpx2.StreamError):
        return Failure(reason=str(error), kind="transient", may_cost=True)
    if isinstance(error, OtherModelError):
        return Failure(reason=str(error), kind="other_model", may_cost=True)
    raise error


def _never_connected(error: openai.APIConnectionError) -> bool:
    # The transport calls a lost connection a ConnectTimeout too; what aiohttp raised tells.
    raised = error.__cause__ and error.__cause__.__cause__
    if isinstance(raised, aiohttp.ClientError):
        return isinstance(raised, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


def _was_lost(error: openai.APIConnectionError) -> bool:
    raised = error.__cause__ and error.__cause__.__cause__
    if isinstance(raised, aiohttp.ClientError):
        return not isinstance(raised, TimeoutError)
    return not isinstance(error, openai.APITimeoutError)


def backoff_s(attempt: int, wait_s: float | None, rng: random.Random) -> float:
    """Return how long to wait after an attempt.

    Doubles from half a second to a minute, drawn uniformly from its upper half so that calls that
    failed together don't come back together; never less than the server asked for.

    Parameters
    ----------
    attempt
        0 for the first one.
    wait_s
        What the server asked for; None if it didn't.
    rng
        Source of the jitter.
    """
    longest = min(_LONGEST_BACKOFF_S, _FIRST_WAIT_S * 2.0**attempt)
    jittered = longest * (0.5 + 0.5 * rng.random())
    return jittered if wait_s is None else max(wait_s + 0.1 * jittered, jittered)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After-Ms`` or ``Retry-After``: seconds, or a date (RFC 9110, 10.2.3)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        said = headers.get(name, "")
        if _SECONDS.fullmatch(said.strip()):
            return float(said) * unit
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _status_failure(error: openai.APIStatusError) -> Failure:
    status = error.status_code
    reason = f"HTTP {status}{_said(error.body)}"
    if _is_used_up(error.body) or status == 402:
        return Failure(reason=f"quota is used up ({reason})", kind="unusable", status=status)
    if status in (401, 403, 404):
        return Failure(reason=reason, kind="unusable", status=status)
    if status in _TRANSIENT or status >= 500:
        wait_s = retry_after_s(error.response.headers)
        return Failure(reason=f"HTTP {status}", kind="transient", wait_s=wait_s, status=status)
    return Failure(reason=reason, kind="refused", status=status)


def _is_used_up(body: object) -> bool:
    if not isinstance(body, dict):
        return False
    return any(body.get(field) in _USED_UP for field in ("code", "type"))


def _said(body: object) -> str:
    """Return the server's own words, on one line."""
    message: Any = body
    if isinstance(body, dict):
        message = body.get("message") or body.get("detail") or body.get("error") or ""
    text = " ".join(str(message or "").split())
    if not text:
        return ""
    return f": {text[:_LONGEST_REASON]}{'…' if len(text) > _LONGEST_REASON else ''}"
