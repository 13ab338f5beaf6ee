"""The web service: an app with everything that must hold, and the page mounted under it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from arena.api import Api
from arena.arena import Arena
from arena.headers import Gate
from arena.joins import JoinCheck
from arena.limits import Limits
from arena.oauth import mount_oauth
from arena.refusals import Refused
from arena.responses import refusal

__all__ = ["create_app"]

_log = logging.getLogger(__name__)
_TIDY_EVERY_S = 60.0


Mount = Callable[[FastAPI], None]


def create_app(arena: Arena, *, mount: Mount | None = None) -> FastAPI:
    """Make the app.

    Parameters
    ----------
    arena
        What it serves; the caller closes it after the app has stopped.
    mount
        Puts the page into the app, such as :func:`arena.page.layout.mount_page`; whatever it brings
        stays behind the list of allowed routes.
    """
    limits = Limits(arena.settings)
    app = FastAPI(
        title="arena",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        routes=Api(arena, limits).routes(),
        lifespan=_tidying(arena),
        exception_handlers={Exception: _broken, 404: _nothing, 405: _nothing},
    )
    if arena.settings.oauth_file is not None:
        mount_oauth(app, arena, arena.settings.oauth_file)
    app.add_middleware(JoinCheck, identify=arena.identify, limits=limits)
    app.add_middleware(Gate, telemetry=arena.telemetry)
    if mount is not None:
        mount(app)
    return app


def _tidying(arena: Arena) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_tidy_for_ever(arena))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return lifespan


async def _tidy_for_ever(arena: Arena) -> None:
    while True:
        try:
            await arena.tidy()
        except Refused as error:
            _log.warning("arena: tidying is put off: %s", error)
        await asyncio.sleep(_TIDY_EVERY_S)


async def _broken(_request: Request, _error: Exception) -> Response:
    """Say that something broke, without saying what; the log knows."""
    content = {"code": "broken", "message": "Something went wrong on our side; please try again."}
    return JSONResponse(content, status_code=500)


async def _nothing(_request: Request, _error: Exception) -> Response:
    return refusal(Refused("unknown_route"))
