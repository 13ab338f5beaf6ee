"""The stub's HTTP: just enough of version 1.1 to take little time itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from runners.endpoint.background import BackgroundLoop
from runners.endpoint.stub.replies import error_body, event_stream, reply_body, tokens_body
from runners.endpoint.stub.script import Fault, StubReply, StubScript, last_turn

__all__ = ["StubServer", "StubStats", "serving"]

_LENGTH = re.compile(r"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_KEY = re.compile(r"^authorization:\s*Bearer (\S+)", re.IGNORECASE | re.MULTILINE)
_CALL = re.compile(r"^idempotency-key:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_SOME_REPLY = StubReply(text="[[A]] since it is better")
_ANSWERS = ("/chat/completions", "/completions")


@dataclass(slots=True)
class StubStats:
    """What a stub server has seen."""

    n_calls: int = 0
    """Requests for an answer."""
    n_answered: int = 0
    """Good answers, sent while somebody listened."""
    in_flight: int = 0
    most_in_flight: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    """Good answers by the call's Idempotency-Key."""
    last_body: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, body: Mapping[str, Any]) -> int:
        """Count a call; return its number, from 0."""
        self.last_body = body
        self.n_calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self.n_calls - 1


class StubServer:
    """Answers as a script says; it lives in an event loop.

    Parameters
    ----------
    script
        How it behaves; may be replaced while it runs.
    """

    def __init__(self, script: StubScript) -> None:
        self.script = script
        self.stats = StubStats()
        self.url = ""
        self.connections: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on a port of 127.0.0.1; 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)  # lets the connections notice


@contextmanager
def serving(script: StubScript | None = None, *, port: int = 0) -> Iterator[StubServer]:
    """Run a stub server in a thread; ``server.url`` says where."""
    loop = BackgroundLoop()
    server = StubServer(script or StubScript())
    try:
        loop.run(server.start(port))
        yield server
    finally:
        loop.run(server.stop())
        loop.close()


class _Connection(asyncio.Protocol):
    """Reads requests one after the other and answers each when its time has come."""

    def __init__(self, server: StubServer) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head_bytes, _, rest = self._received.partition(b"\r\n\r\n")
            head = head_bytes.decode("latin-1")
            length = _LENGTH.search(head)
            n_bytes = int(length[1]) if length else 0
            if len(rest) < n_bytes:
                return
            self._received = rest[n_bytes:]
            self._handle(head, rest[:n_bytes])

    def _handle(self, head: str, content: bytes) -> None:
        script, stats = self._server.script, self._server.stats
        path = head.split(" ", 2)[1]
        key = _KEY.search(head)
        if script.api_key is not None and (key is None or key[1] != script.api_key):
            said = key[1] if key else ""
            self._send(401, error_body(f"Incorrect API key provided: {said}", "invalid_api_key"))
        elif path.endswith("/models"):
            self._send(200, json.dumps({"data": [{"id": script.model or "stub"}]}).encode())
        elif path.endswith("/stats"):
            self._send(200, json.dumps({"n_answered": stats.n_answered}).encode())
        elif path == "/tokenize" and script.tokenises:
            self._send(200, tokens_body(json.loads(content)))
        elif not path.startswith("/v1/") or not path.endswith(_ANSWERS):
            self._send(404, error_body(f"no such path: {path}"))
        else:
            body = json.loads(content)
            call = _CALL.search(head)
            self._answer(path, body, call[1] if call else "")

    def _answer(self, path: str, body: Mapping[str, Any], call: str) -> None:
        script, stats = self._server.script, self._server.stats
        n_call = stats.begin(body)
        fault = script.fault(n_call)
        if fault is None and script.quota is not None and n_call >= script.quota:
            fault = "quota"
        later = asyncio.get_running_loop().call_later
        if fault is None:
            later(script.latency_s, self._reply, path, body, call)
        else:
            later(script.latency_s, self._fail, fault, path, body)

    def _reply(self, path: str, body: Mapping[str, Any], call: str) -> None:
        script, stats = self._server.script, self._server.stats
        stats.in_flight -= 1
        refused = [name for name in script.refuses if name in body]
        reply = script.answer(last_turn(body))
        if refused:
            self._send(400, error_body(f"Unsupported parameter: '{refused[0]}'"))
        elif reply is None:
            self._send(400, error_body("no verdict is recorded for this prompt"))
        elif self._transport.is_closing():
            return
        else:
            stats.n_answered += 1
            stats.answered[call] += 1
            model = script.model or str(body["model"])
            if body.get("stream"):
                self._send_events(event_stream(path, reply, model))
            else:
                asked = body if script.echoes else {**body, "echo": False}
                self._send(200, reply_body(path, asked, reply, model))

    def _fail(self, fault: Fault, path: str, body: Mapping[str, Any]) -> None:
        script, stats = self._server.script, self._server.stats
        stats.in_flight -= 1
        whole = reply_body(path, {**body, "echo": False}, _SOME_REPLY, "another-model")
        match fault:
            case "drop":
                self._transport.abort()
            case "429":
                wait = {"Retry-After": script.retry_after} if script.retry_after else {}
                self._send(429, error_body("slow down", "rate_limit_exceeded"), wait)
            case "500":
                self._send(500, error_body("internal error"))
            case "quota":
                self._send(429, error_body("you have used it up", "insufficient_quota"))
            case "garbage":
                self._send(200, b"<html>Bad gateway</html>")
            case "half":
                self._send(200, whole[: len(whole) // 2])
            case "cut":
                self._send(200, whole[: len(whole) // 2], {"Content-Length": str(len(whole))})
                self._transport.close()
            case "other_model":
                self._send(200, whole)
            case "stall":
                pass

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        told = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self._transport.write(f"HTTP/1.1 {status} Stub\r\n{lines}\r\n".encode() + body)

    def _send_events(self, events: Iterator[bytes]) -> None:
        head = "HTTP/1.1 200 Stub\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode() + b"".join(events))
        self._transport.close()
