"""Checks what joins Gradio's queue: the page's one event, not more often than allowed.

Gradio stumbles over a join that it does not understand, and streams are few: one visitor must not
take them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arena.limits import Limits
from arena.records import Cookies, Rater
from arena.requests import EmptyRequest, parse

__all__ = ["JOIN_PATH", "JoinCheck", "JoinRequest"]

JOIN_PATH = "/gradio_api/queue/join"


class JoinRequest(EmptyRequest):
    """What the page's only event sends."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    fn_index: Literal[0]
    session_hash: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    data: Annotated[list[Any], Field(max_length=1)]
    trigger_id: int | None = None
    event_data: None = None


class JoinCheck:
    """ASGI middleware before the page.

    Parameters
    ----------
    app
        What is behind it.
    identify
        From cookies to a rater.
    limits
        Joins count as requests for battles.
    """

    def __init__(
        self, app: ASGIApp, *, identify: Callable[[Cookies], Rater | None], limits: Limits
    ) -> None:
        self._app = app
        self._identify = identify
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let everything through but bad joins.

        Raises
        ------
        Refused
            ``too_many`` or ``bad_request``, for the gate to answer.
        """
        if scope["type"] == "http" and scope["path"] == JOIN_PATH:
            receive = await self._checked(scope, receive)
        await self._app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive) -> Receive:
        """Return what gives the body once more, after it was found good."""
        request = Request(scope, receive)
        rater = self._identify(request.cookies)
        address = None if request.client is None else request.client.host
        self._limits.check("battle", rater_id=None if rater is None else rater.id, address=address)
        body = await request.body()
        parse(body, JoinRequest)
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return messages.pop() if messages else await receive()

        return again
