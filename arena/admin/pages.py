"""Routes of the administrators' pages: plain forms, every act in the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import jinja2
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from arena.admin.overview import PAGE_SIZE, Reader
from arena.arena import Arena
from arena.identity import ADMIN_COOKIE, COOKIE_AGE_S
from arena.limits import Limits
from arena.records import VoteStatus
from arena.refusals import Refused
from evalcore.errors import InputError
from evalcore.store import Store

__all__ = ["mount_admin", "with_admin"]

Handler = Callable[[Request], Awaitable[Response]]

_HEADERS = {
    # Stricter than the page's: one script, and everything works without it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # With "no-referrer" browsers would send their forms without an origin, which is refused.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MOST_FIELDS = 10


def mount_admin(app: FastAPI, arena: Arena, store: Store) -> None:
    """Put the administrators' pages under ``/admin``.

    Parameters
    ----------
    app
        The service.
    arena
        What is administered; its users file has the administrators.
    store
        The same workspace, for reading beside the arena's writer.
    """
    pages = _Pages(arena, Reader(store, arena.source.study))
    gets: dict[str, Handler] = {
        "": pages.overview,
        "/votes": pages.votes,
        "/audit": pages.audit,
    }
    posts: dict[str, Handler] = {
        "/login": pages.login,
        "/logout": pages.logout,
        "/vote": pages.act,
        "/rater": pages.void_rater,
    }
    script = Path(__file__).with_name("live.js")
    app.router.routes.append(Route("/admin/live.js", lambda _request: FileResponse(script)))
    for path, handler in gets.items():
        app.router.routes.append(Route(f"/admin{path}", pages.for_admins(handler)))
    for path, handler in posts.items():
        guarded = handler if path == "/login" else pages.for_admins(handler)
        app.router.routes.append(Route(f"/admin{path}", pages.said(guarded), methods=["POST"]))


def with_admin(
    arena: Arena, store: Store, page: Callable[[FastAPI], None]
) -> Callable[[FastAPI], None]:
    """Return what puts these pages into an app, then the raters' page, which takes every path."""

    def mount(app: FastAPI) -> None:
        mount_admin(app, arena, store)
        page(app)

    return mount


class _Pages:
    def __init__(self, arena: Arena, reader: Reader) -> None:
        self._arena = arena
        self._reader = reader
        self._limits = Limits(arena.settings)
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("arena.admin"),
            autoescape=True,  # raters' comments are hostile text
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def for_admins(self, handler: Handler) -> Handler:
        """Show the login form to everybody else."""

        async def answer(request: Request) -> Response:
            if self._actor(request) is None:
                return self._page("login.html", request, status=401, problem="")
            return await handler(request)

        return answer

    def said(self, handler: Handler) -> Handler:
        """Show what was refused."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except InputError as error:
                status = error.http_status if isinstance(error, Refused) else 422
                template = "problem.html" if self._actor(request) else "login.html"
                return self._page(template, request, status=status, problem=error)

        return answer

    async def login(self, request: Request) -> Response:
        """Begin an administrator's session."""
        address = None if request.client is None else request.client.host
        self._limits.check("login", rater_id=None, address=address)
        form = await _form(request)
        users = self._arena.identity.users
        user = await asyncio.to_thread(
            users.sign_in, form.get("name", ""), form.get("password", "")
        )
        if user is None or user.role != "admin":
            raise Refused("login_failed")
        response = _back("/admin")
        response.set_cookie(
            ADMIN_COOKIE,
            self._arena.identity.admin_cookie(user.name),
            max_age=COOKIE_AGE_S[ADMIN_COOKIE],
            path="/admin",
            httponly=True,
            samesite="strict",
            secure=self._arena.settings.secure_cookies,
        )
        return response

    async def logout(self, _request: Request) -> Response:
        """End the session."""
        response = _back("/admin")
        response.delete_cookie(ADMIN_COOKIE, path="/admin")
        return response

    async def overview(self, request: Request) -> Response:
        """Show standings and raters."""
        overview = await asyncio.to_thread(self._reader.overview)
        return self._page("overview.html", request, overview=overview)

    async def votes(self, request: Request) -> Response:
        """Show votes with what can be done to them."""
        wanted = {name: request.query_params.get(name, "") for name in ("rater", "status")}
        offset = _offset(request)
        page = await asyncio.to_thread(self._reader.votes, **wanted, offset=offset)
        return self._page(
            "votes.html",
            request,
            page=page,
            wanted=wanted,
            statuses=[str(status) for status in VoteStatus],
            here=_url("/admin/votes", **wanted, offset=offset),
            newer=_url("/admin/votes", **wanted, offset=max(offset - PAGE_SIZE, 0)),
            older=_url("/admin/votes", **wanted, offset=offset + PAGE_SIZE),
        )

    async def audit(self, request: Request) -> Response:
        """Show the audit log."""
        page = await asyncio.to_thread(self._reader.audit, offset=_offset(request))
        return self._page("audit.html", request, page=page)

    async def act(self, request: Request) -> Response:
        """Void, unvoid or accept one vote."""
        form = await _form(request)
        acts = {
            "void": self._arena.review.void,
            "unvoid": self._arena.review.unvoid,
            "accept": self._arena.review.accept,
        }
        action = form.get("action", "")
        if action not in acts:
            raise InputError(f"action must be one of {', '.join(acts)}; got {action!r}")
        await self._check_open()
        actor, reason = self._actor(request) or "", form.get("reason", "")
        battle = form.get("battle", "")
        await asyncio.to_thread(acts[action], battle, actor=actor, reason=reason)
        return _back(_local(form.get("back", "")))

    async def void_rater(self, request: Request) -> Response:
        """Void every vote of one rater that counts."""
        form = await _form(request)
        await self._check_open()
        rater, actor, reason = (
            form.get("rater", ""),
            self._actor(request) or "",
            form.get("reason", ""),
        )
        for battle in await asyncio.to_thread(self._reader.counted_battles, rater):
            await asyncio.to_thread(self._arena.review.void, battle, actor=actor, reason=reason)
        return _back(_url("/admin/votes", rater=rater))

    async def _check_open(self) -> None:
        if await asyncio.to_thread(self._reader.is_locked):
            raise InputError("the study is locked: its votes can't be changed any more")

    def _actor(self, request: Request) -> str | None:
        return self._arena.identity.admin(request.cookies)

    def _page(
        self, template: str, request: Request, *, status: int = 200, **content: Any
    ) -> Response:
        text = self._templates.get_template(template).render(
            title=self._arena.settings.title, actor=self._actor(request), **content
        )
        return HTMLResponse(text, status_code=status, headers=_HEADERS)


async def _form(request: Request) -> Mapping[str, str]:
    """Read a posted form; the gate has limited its size."""
    body = (await request.body()).decode("utf-8", "replace")
    try:
        return dict(parse_qsl(body, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise InputError(f"form: {error}") from error


def _offset(request: Request) -> int:
    text = request.query_params.get("offset", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _url(path: str, **query: str | int) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def _local(path: str) -> str:
    """Return a path of these pages, whatever was posted."""
    return path if path.startswith("/admin/votes") else "/admin/votes"


def _back(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers=_HEADERS)
