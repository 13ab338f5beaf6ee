"""Signing in with an outside account, through Authlib; needs ``parity-eval[oauth]``.

The providers are in a YAML file::

    providers:
      - name: example
        client_id: parity
        client_secret_env: EXAMPLE_SECRET
        authorize_url: https://id.example.org/authorize
        token_url: https://id.example.org/token
        userinfo_url: https://id.example.org/userinfo

Of whoever signs in, only a keyed hash of the provider's subject is kept; the name and the address
are neither asked nor stored. ``/oauth/NAME`` begins; the provider sends back to
``/oauth/NAME/callback``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from arena.arena import Arena
from arena.refusals import Refused
from arena.responses import refusal
from evalcore.errors import InputError
from evalcore.tasks.definition import StrictModel, parse_yaml

__all__ = ["OAuthFile", "Provider", "mount_oauth"]

_SESSION_AGE_S = 600
_SUBJECTS = ("sub", "id")


class Provider(StrictModel):
    """Where accounts come from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    client_id: str
    client_secret_env: str
    """Environment variable that holds the secret."""
    authorize_url: str
    token_url: str
    userinfo_url: str
    scope: str = "openid"


class OAuthFile(StrictModel):
    """All providers."""

    providers: Annotated[list[Provider], Field(min_length=1)]


def mount_oauth(app: FastAPI, arena: Arena, path: Path) -> None:
    """Let raters sign in with the providers of a file.

    Raises
    ------
    InputError
        If the file can't be used, a secret is not in the environment, or Authlib is not installed.
    """
    try:
        from authlib.integrations.starlette_client import OAuth
    except ModuleNotFoundError as error:
        raise InputError("signing in needs Authlib: pip install 'parity-eval[oauth]'") from error
    clients = OAuth()
    for provider in parse_yaml(path, OAuthFile, error=InputError).providers:
        clients.register(
            provider.name,
            client_id=provider.client_id,
            client_secret=_secret(provider),
            authorize_url=provider.authorize_url,
            access_token_url=provider.token_url,
            userinfo_endpoint=provider.userinfo_url,
            client_kwargs={"scope": provider.scope, "code_challenge_method": "S256"},
        )
    doors = _Doors(arena, clients)
    app.router.routes.append(Route("/oauth/{name}", doors.begin))
    app.router.routes.append(Route("/oauth/{name}/callback", doors.finish, name="oauth_callback"))
    app.add_middleware(
        SessionMiddleware,
        secret_key=arena.settings.secret,
        session_cookie="parity_oauth",
        max_age=_SESSION_AGE_S,
        https_only=arena.settings.secure_cookies,
    )


class _Doors:
    """The two routes of every provider."""

    def __init__(self, arena: Arena, clients: Any) -> None:
        self._arena = arena
        self._clients = clients

    async def begin(self, request: Request) -> Response:
        """Send the visitor to the provider."""
        client = self._clients.create_client(request.path_params["name"])
        if client is None:
            return refusal(Refused("unknown_route"))
        back = request.url_for("oauth_callback", name=request.path_params["name"])
        answer: Response = await client.authorize_redirect(request, str(back))
        return answer

    async def finish(self, request: Request) -> Response:
        """Take the visitor back, signed in."""
        from authlib.common.errors import AuthlibBaseError
        from httpx import HTTPError

        name = request.path_params["name"]
        client = self._clients.create_client(name)
        if client is None:
            return refusal(Refused("unknown_route"))
        try:
            token = await client.authorize_access_token(request)
            person = await client.userinfo(token=token)
        except (AuthlibBaseError, HTTPError, ValueError):
            return refusal(Refused("login_failed"))
        subject = next((str(person[key]) for key in _SUBJECTS if person.get(key)), "")
        if not subject or "account" not in self._arena.settings.admits:
            return refusal(Refused("login_failed"))
        account = self._arena.identity.outside_account(name, subject)
        rater = await self._arena.rater_of_account(account, "account")
        response = RedirectResponse("/", status_code=303)
        self._arena.identity.remember(response, rater)
        return response


def _secret(provider: Provider) -> str:
    found = os.environ.get(provider.client_secret_env)
    if not found:
        raise InputError(
            f"provider {provider.name}: environment variable {provider.client_secret_env} "
            "must hold the client's secret"
        )
    return found
