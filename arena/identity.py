"""Who somebody is: signed cookies for raters and administrators, links into studies."""

from __future__ import annotations

import secrets
from typing import Any, get_args

from starlette.responses import Response

from arena.accounts import Users, load_users
from arena.keys import Keys
from arena.records import Cookies, Rater, RaterOrigin
from arena.settings import ArenaSettings

__all__ = ["ADMIN_COOKIE", "COOKIE_AGE_S", "RATER_COOKIE", "Identity"]

RATER_COOKIE = "parity_rater"
ADMIN_COOKIE = "parity_admin"
COOKIE_AGE_S = {RATER_COOKIE: 180 * 24 * 3600, ADMIN_COOKIE: 8 * 3600}
_LINK_AGE_S = 180 * 24 * 3600


class Identity:
    """Reads and writes what tells who somebody is. Nothing here asks the database."""

    def __init__(self, keys: Keys, settings: ArenaSettings) -> None:
        self._keys = keys
        self._admits = settings.admits
        self._secure = settings.secure_cookies
        self.users = Users({}) if settings.users_file is None else load_users(settings.users_file)
        """The accounts of the users file; none without one."""

    def new_rater(self, origin: RaterOrigin, account: str | None = None) -> Rater:
        """Make up a pseudonym."""
        return Rater(id=secrets.token_hex(16), origin=origin, account=account)

    def rater_cookie(self, rater: Rater) -> str:
        """Return the signed cookie that names a rater."""
        return self._keys.sign("rater", [rater.id, rater.origin, rater.account])

    def rater(self, cookies: Cookies) -> Rater | None:
        """Return who a request's cookies name.

        None without a valid cookie, for an account that was taken out of the users file, and for
        visitors where only accounts or links are let in.
        """
        content = self._content("rater", RATER_COOKIE, cookies)
        if content is None:
            return None
        rater_id, origin, account = content
        if origin not in self._admits or origin not in get_args(RaterOrigin):
            return None
        if origin == "account" and ":" not in account and self.users.role(account) is None:
            return None
        return Rater(id=rater_id, origin=origin, account=account)

    def remember(self, response: Response, rater: Rater) -> None:
        """Set the cookie that names a rater; no script and no other site's request sees it."""
        response.set_cookie(
            RATER_COOKIE,
            self.rater_cookie(rater),
            max_age=COOKIE_AGE_S[RATER_COOKIE],
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )

    def outside_account(self, provider: str, subject: str) -> str:
        """Return the name of an account elsewhere; nothing leads back from it."""
        return self._keys.account(provider, subject)

    def admin_cookie(self, name: str) -> str:
        """Return the signed cookie of an administrator's session, good for eight hours."""
        return self._keys.sign("admin", name)

    def admin(self, cookies: Cookies) -> str | None:
        """Return the administrator whom a request's cookies name."""
        name = self._content("admin", ADMIN_COOKIE, cookies)
        return name if name is not None and self.users.role(name) == "admin" else None

    def link(self, study: str, addressee: str) -> str:
        """Return the secret part of a link that signs its addressee in to a study."""
        return self._keys.sign("link", [study, addressee])

    def account_of_link(self, link: str, study: str) -> str | None:
        """Return the name of the account behind a study's link; None if it is not good here."""
        content = self._keys.unsign("link", link, max_age_s=_LINK_AGE_S)
        if content is None or content[0] != study:
            return None
        return f"link:{study}:{content[1]}"

    def _content(self, purpose: str, cookie: str, cookies: Cookies) -> Any:
        text = cookies.get(cookie)
        if text is None:
            return None
        return self._keys.unsign(purpose, text, max_age_s=COOKIE_AGE_S[cookie])
