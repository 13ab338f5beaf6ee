"""Routes of the service: read a request, check who and how often, call the arena, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from arena import requests as bodies
from arena.arena import Arena, Sent
from arena.identity import ADMIN_COOKIE, RATER_COOKIE
from arena.limits import Limits, What
from arena.page.rendering import render_markdown
from arena.records import Rater
from arena.refusals import Refused
from arena.requests import parse
from arena.responses import next_json, receipt_json, refusal, reveal_json, view_json

__all__ = ["Api"]

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """The arena's routes.

    Parameters
    ----------
    arena
        What they call.
    limits
        How often.
    """

    def __init__(self, arena: Arena, limits: Limits) -> None:
        self._arena = arena
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        """Return all routes."""
        handlers: dict[str, Handler] = {
            "session": self.session,
            "login": self.login,
            "logout": self.logout,
            "consent": self.consent,
            "forget": self.forget,
            "battle": self.battle,
            "view": self.view,
            "turn": self.turn,
            "vote": self.vote,
            "reveal": self.reveal,
            "undo": self.undo,
            "skip": self.skip,
            "mistake": self.mistake,
        }
        return [
            *(
                Route(f"/api/{name}", self._answering(handler), methods=["POST"])
                for name, handler in handlers.items()
            ),
            Route("/healthz", self.health, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    # who

    async def session(self, request: Request) -> Response:
        """Say who the visitor is; make a new one where visitors are let in."""
        parse(await request.body(), bodies.EmptyRequest)
        self._limits.check("battle", rater_id=None, address=_address(request))
        rater = self._arena.identify(request.cookies)
        if rater is None:
            admits = self._arena.settings.admits
            if "visitor" not in admits:
                raise Refused("link_needed" if admits == ("link",) else "not_signed_in")
            rater = self._arena.identity.new_rater("visitor")
        return self._signed_in(rater, await self._session_json(rater))

    async def login(self, request: Request) -> Response:
        """Sign a rater in by account or link."""
        body = parse(await request.body(), bodies.LoginRequest)
        self._limits.check("login", rater_id=None, address=_address(request))
        if body.link:
            account = self._arena.identity.account_of_link(body.link, self._arena.source.study)
            if account is None or "link" not in self._arena.settings.admits:
                raise Refused("link_needed")
            rater = await self._arena.rater_of_account(account, "link")
        else:
            if "account" not in self._arena.settings.admits:
                raise Refused("login_failed")
            users = self._arena.identity.users
            user = await asyncio.to_thread(users.sign_in, body.name, body.password)
            if user is None:
                raise Refused("login_failed")
            rater = await self._arena.rater_of_account(user.name, "account")
        return self._signed_in(rater, await self._session_json(rater))

    async def logout(self, request: Request) -> Response:
        """Forget this browser's cookies."""
        response = JSONResponse({})
        for cookie in (RATER_COOKIE, ADMIN_COOKIE):
            response.delete_cookie(cookie)
        return response

    async def consent(self, request: Request) -> Response:
        """Note that the rater agrees."""
        body = parse(await request.body(), bodies.ConsentRequest)
        await self._arena.consent(self._rater(request, "battle"), body.version)
        return JSONResponse({})

    async def forget(self, request: Request) -> Response:
        """Delete what is known of the rater, and the cookie."""
        body = parse(await request.body(), bodies.ForgetRequest)
        n_votes = await self._arena.forget(self._rater(request, "battle"), votes=body.votes)
        response = JSONResponse({"votes": n_votes})
        response.delete_cookie(RATER_COOKIE)
        return response

    # battles

    async def battle(self, request: Request) -> Response:
        """Resume or open a battle."""
        rater = self._rater(request, "battle")
        body = parse(await request.body(), bodies.BattleRequest)
        found = await self._arena.next(rater, prompt=body.prompt, advance=body.advance)
        return JSONResponse(next_json(found))

    async def view(self, request: Request) -> Response:
        """Show a battle as it is now."""
        rater = self._rater(request, "battle")
        body = parse(await request.body(), bodies.TokenRequest)
        return JSONResponse({"battle": view_json(await self._arena.view(rater, body.token))})

    async def turn(self, request: Request) -> Response:
        """Go on with the conversation."""
        rater = self._rater(request, "battle")
        body = parse(await request.body(), bodies.TurnRequest)
        view = await self._arena.add_turn(rater, body.token, body.prompt)
        return JSONResponse({"battle": view_json(view)})

    async def skip(self, request: Request) -> Response:
        """End a battle without a vote."""
        rater = self._rater(request, "battle")
        body = parse(await request.body(), bodies.SkipRequest)
        await self._arena.skip(rater, body.token, body.reason)
        return JSONResponse({})

    # votes

    async def vote(self, request: Request) -> Response:
        """Commit a vote."""
        rater = self._rater(request, "vote")
        body = parse(await request.body(), bodies.VoteRequest)
        sent = Sent(address=_address(request), evidence=body.evidence)
        receipt, reveal = await self._arena.vote(
            rater, body.token, body.ballot, reveal=body.reveal, sent=sent
        )
        return JSONResponse({"receipt": receipt_json(receipt), "reveal": reveal_json(reveal)})

    async def reveal(self, request: Request) -> Response:
        """Fix the vote and tell the names."""
        rater = self._rater(request, "vote")
        body = parse(await request.body(), bodies.TokenRequest)
        receipt, reveal = await self._arena.reveal(rater, body.token)
        return JSONResponse({"receipt": receipt_json(receipt), "reveal": reveal_json(reveal)})

    async def undo(self, request: Request) -> Response:
        """Take a vote back."""
        rater = self._rater(request, "vote")
        body = parse(await request.body(), bodies.TokenRequest)
        return JSONResponse({"battle": view_json(await self._arena.undo(rater, body.token))})

    async def mistake(self, request: Request) -> Response:
        """Leave a sealed vote out of ratings."""
        rater = self._rater(request, "vote")
        body = parse(await request.body(), bodies.MistakeRequest)
        receipt = await self._arena.report_mistake(rater, body.token, body.comment)
        return JSONResponse({"receipt": receipt_json(receipt)})

    # operations

    async def health(self, _request: Request) -> Response:
        """Say whether votes can be stored."""
        try:
            await self._arena.check()
        except Refused as error:
            return refusal(error)
        return PlainTextResponse("ok\n")

    async def metrics(self, _request: Request) -> Response:
        """Give Prometheus its figures."""
        return Response(
            self._arena.telemetry.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    def _rater(self, request: Request, what: What) -> Rater:
        rater = self._arena.identify(request.cookies)
        if rater is None:
            raise Refused("not_signed_in")
        self._limits.check(what, rater_id=rater.id, address=_address(request))
        return rater

    async def _session_json(self, rater: Rater) -> dict[str, object]:
        settings = self._arena.settings
        return {
            "rater": rater.id,
            "account": rater.account,
            "title": settings.title,
            "is_live": self._arena.is_live,
            "consent": {
                "needed": not await self._arena.consented(rater),
                "version": settings.consent_version,
                "text": settings.consent_text,
                "html": render_markdown(settings.consent_text),
            },
            "instructions_html": render_markdown(settings.instructions),
            "questions": {name: asdict(asked) for name, asked in settings.questions.items()},
        }

    def _signed_in(self, rater: Rater, content: dict[str, object]) -> Response:
        response = JSONResponse(content)
        self._arena.identity.remember(response, rater)
        return response

    def _answering(self, handler: Handler) -> Handler:
        """Turn refusals into answers, and count them."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Refused as error:
                self._arena.telemetry.refusals.labels(error.code).inc()
                return refusal(error)

        return answer


def _address(request: Request) -> str | None:
    return None if request.client is None else request.client.host
