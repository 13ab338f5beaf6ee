"""What the service says no to, each with a code for the page and an HTTP status."""

from __future__ import annotations

from typing import Literal

from evalcore.errors import InputError

__all__ = ["REFUSALS", "Code", "Refused"]

Code = Literal[
    "bad_request",
    "not_signed_in",
    "login_failed",
    "link_needed",
    "consent_needed",
    "wrong_origin",
    "unknown_route",
    "unknown_battle",
    "not_ready",
    "already_voted",
    "sealed",
    "not_sealed",
    "expired",
    "void",
    "too_large",
    "too_many",
    "prompt_needed",
    "prompt_refused",
    "queue_full",
    "store_unavailable",
]

REFUSALS: dict[Code, tuple[int, str]] = {
    "bad_request": (422, "The request can't be read."),
    "not_signed_in": (401, "Please sign in first."),
    "login_failed": (401, "Name or password is wrong."),
    "link_needed": (401, "Please open the link that you were sent."),
    "consent_needed": (403, "Please agree to the terms first."),
    "wrong_origin": (403, "This request comes from another site."),
    "unknown_route": (404, "There is nothing here."),
    "unknown_battle": (404, "There is no such battle for you."),
    "not_ready": (409, "The answers are not complete yet."),
    "already_voted": (409, "This battle has a vote; undo it first."),
    "sealed": (409, "The names are known; the vote can't be changed any more."),
    "not_sealed": (409, "The vote can still be changed; there is nothing to report."),
    "expired": (410, "This battle was open for too long."),
    "void": (410, "This battle was taken out."),
    "too_large": (413, "The request is too large."),
    "too_many": (429, "Too many requests; please wait a moment."),
    "prompt_needed": (422, "Please type a prompt."),
    "prompt_refused": (422, "This prompt can't be used here."),
    "queue_full": (503, "Too many visitors are waiting; please try again in a minute."),
    "store_unavailable": (503, "The vote can't be stored right now; please try again."),
}
"""Code to HTTP status and what is said in English; the page says it in its own languages."""


class Refused(InputError):
    """A request that the arena says no to.

    Parameters
    ----------
    code
        Which refusal; the page translates it.
    detail
        More than the code says, in English; must not name a model.
    retry_after_s
        When to try again.
    """

    def __init__(self, code: Code, detail: str = "", *, retry_after_s: int | None = None) -> None:
        self.code = code
        self.http_status, said = REFUSALS[code]
        self.retry_after_s = retry_after_s
        super().__init__(f"{said} {detail}".strip())
