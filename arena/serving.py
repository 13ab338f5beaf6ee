"""Running the service: one socket, one link, an end that loses nothing."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from evalcore.errors import InputError

__all__ = ["Address", "serve"]

_KEEP_ALIVE_S = 30
_END_WITHIN_S = 5
_BACKLOG = 2048
_SWITCH_S = 0.0002
"""The writer thread gives the interpreter up at every call of SQLite; with Python's 5 ms it would
wait so long for the event loop each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the service listens."""

    host: str = "127.0.0.1"
    port: int = 7860
    """0 takes any free port."""
    trusted_proxies: Sequence[str] = ()
    """Whose X-Forwarded-For and X-Forwarded-Proto are believed."""


def serve(app: FastAPI, address: Address, *, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    app
        The service.
    address
        Where.
    ready
        Called with the link once requests are answered.

    Raises
    ------
    InputError
        If the address is taken or can't be listened on.
    """
    sys.setswitchinterval(_SWITCH_S)
    with _listening(address) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            ws="none",
            proxy_headers=bool(address.trusted_proxies),
            forwarded_allow_ips=list(address.trusted_proxies),
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_END_WITHIN_S,
        )
        _Server(config, lambda: ready(f"http://{shown}:{port}/")).run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def _listening(address: Address) -> socket.socket:
    where = f"{address.host}:{address.port}"
    try:
        return socket.create_server(
            (address.host, address.port),
            family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
            backlog=_BACKLOG,
        )
    except (OSError, OverflowError) as error:
        raise InputError(f"can't listen on {where}: {error}") from error
