"""The openai client, as far as it is used: bodies out, checked replies in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, cast

import httpx2
import openai

from evalcore.hashing import content_hash
from runners.endpoint.address import Endpoint
from runners.endpoint.wire import (
    CHAT_PATH,
    TEXT_PATH,
    Call,
    OtherModelError,
    is_served_as,
    read_json,
)

__all__ = ["Connection"]

_CONNECT_S: Final = 10.0


class Connection:
    """An open client; it belongs into one event loop.

    Parameters
    ----------
    endpoint
        Which server.
    key
        The API key; None sends none.
    """

    def __init__(self, endpoint: Endpoint, key: str | None) -> None:
        timeout = openai.Timeout(endpoint.timeout_s, connect=min(_CONNECT_S, endpoint.timeout_s))
        self._endpoint = endpoint
        self._has_key = key is not None
        self._served: object = None
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",
            base_url=endpoint.url,
            max_retries=0,
            timeout=timeout,
            # Half the processor time of the default transport, and proxies all the same. Redirects
            # could carry prompts to another host.
            http_client=openai.DefaultAioHttpClient(timeout=timeout, follow_redirects=False),
        )

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def post(self, call: Call, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a body and return the reply, which the model that was asked has given.

        Raises
        ------
        openai.APIError, TimeoutError, BadReplyError, OtherModelError
            If there is none.
        """
        # The client's own time-out starts again with every byte.
        async with asyncio.timeout(self._endpoint.timeout_s):
            response = await self._client.post(
                call.path,
                cast_to=httpx2.Response,
                body=body,
                options=self._options(call),
            )
        reply = read_json(response.content)
        if call.path in (CHAT_PATH, TEXT_PATH):
            self._check_model(reply.get("model"))
        return reply

    async def pieces(self, call: Call, body: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        """Yield an answer piece by piece; errors as of :meth:`post`."""
        stream = await self._client.post(
            call.path,
            cast_to=object,
            body={**body, "stream": True},
            options=self._options(call),
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            async for event in stream:
                chunk = cast("Mapping[str, Any]", event)
                self._check_model(chunk.get("model"))
                for choice in chunk.get("choices") or ():
                    piece = _piece(choice, is_chat=call.path == CHAT_PATH)
                    if piece:
                        yield piece

    def _options(self, call: Call) -> openai.RequestOptions:
        """Name the call, so that a server that keeps such names bills a repeated one once."""
        name = content_hash([self._endpoint.model, call.path, call.key])
        headers: dict[str, str | openai.Omit] = {"Idempotency-Key": name}
        if not self._has_key:
            headers["Authorization"] = openai.Omit()
        # Named here as well, the client needs no random name of its own for each call.
        return {"headers": headers, "idempotency_key": name}

    def _check_model(self, served: object) -> None:
        """Refuse a name that isn't the one asked for, and one that changes on the way."""
        if not is_served_as(self._endpoint, served) or served != (self._served or served):
            expected = self._served or self._endpoint.serves or self._endpoint.model
            raise OtherModelError(f"{str(served)[:80]!r} answered, not {expected!r}")
        self._served = served or self._served


def _piece(choice: Mapping[str, Any], *, is_chat: bool) -> str:
    if is_chat:
        delta = choice.get("delta") or {}
        return str(delta.get("content") or delta.get("refusal") or "")
    return str(choice.get("text") or "")
