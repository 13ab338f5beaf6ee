"""The gate in front of everything: allowed routes, own origin, small bodies, headers.

Gradio serves far more than the page needs (uploads, proxies, files, snapshots of other visitors'
sessions). What is not named here is not there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arena.refusals import Refused
from arena.responses import refusal
from arena.telemetry import Telemetry

__all__ = ["ALLOWED_ROUTES", "CONTENT_SECURITY_POLICY", "Gate"]

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",  # Gradio writes its configuration inline
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

ALLOWED_ROUTES: Sequence[tuple[str, str]] = (
    ("GET", r"/(healthz|metrics)"),
    (
        "POST",
        r"/api/(session|login|logout|consent|forget|battle|view|turn|skip|vote|reveal|undo|mistake)",
    ),
    ("GET", r"/oauth/[a-z0-9-]+(/callback)?"),
    ("GET", r"/admin(/.*)?"),
    ("POST", r"/admin/.*"),
    ("GET", r"/(board/?)?"),
    ("GET", r"(/board)?/(config|theme\.css|favicon\.ico|robots\.txt)"),
    ("GET", r"(/board)?/(assets|static|page|svelte)/[A-Za-z0-9_./-]+"),
    ("GET", r"(/board)?/gradio_api/(app_id|startup-events|heartbeat/[A-Za-z0-9_-]+)"),
    ("GET", r"(/board)?/gradio_api/queue/data"),
    ("POST", r"(/board)?/gradio_api/(queue/join|cancel|reset)"),
)
"""Method and path, matched whole; HEAD goes with GET."""

_MOST_BYTES = 256 * 1024
_ALLOWED = re.compile("|".join(f"{method} {path}" for method, path in ALLOWED_ROUTES))


class Gate:
    """ASGI middleware around the whole app.

    Parameters
    ----------
    app
        What is behind it.
    telemetry
        Where refusals and times are counted.
    """

    def __init__(self, app: ASGIApp, *, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, if it may be."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sender = _Sender(send)
        try:
            if scope["type"] != "http":
                return  # no web sockets here
            _check_route(scope)
            _check_origin(Headers(scope=scope))
            started = perf_counter()
            await self._app(scope, _Body(receive, Headers(scope=scope)), sender)
            if scope["path"].startswith("/api/"):
                took_s = perf_counter() - started
                self._telemetry.seconds.labels(scope["path"]).observe(took_s)
        except Refused as error:
            self._telemetry.refusals.labels(error.code).inc()
            if not sender.has_started:
                await refusal(error)(scope, receive, sender)


class _Sender:
    """Adds the headers to a response, and knows whether one was begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


class _Body:
    """Receives a body and stops at the permitted size."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._n_bytes = 0
        if headers.get("content-length", "0").isdecimal():
            self._add(int(headers.get("content-length", "0")), keeps=False)

    async def __call__(self) -> Message:
        message = await self._receive()
        self._add(len(message.get("body", b"")), keeps=True)
        return message

    def _add(self, n_bytes: int, *, keeps: bool) -> None:
        if self._n_bytes + n_bytes > _MOST_BYTES:
            raise Refused("too_large", f"At most {_MOST_BYTES} bytes.")
        self._n_bytes += n_bytes if keeps else 0


def _check_route(scope: Scope) -> None:
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    if _ALLOWED.fullmatch(f"{method} {scope['path']}") is None or ".." in scope["path"]:
        raise Refused("unknown_route")


def _check_origin(headers: Headers) -> None:
    """Refuse what another site's page sends; browsers name their origin, other clients need not."""
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host", ""):
        raise Refused("wrong_origin")
