"""Bodies that the API takes; what does not fit is refused in one line."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arena.records import Ballot, Choice
from arena.refusals import Refused

__all__ = [
    "BattleRequest",
    "ConsentRequest",
    "EmptyRequest",
    "ForgetRequest",
    "LoginRequest",
    "MistakeRequest",
    "SkipRequest",
    "TokenRequest",
    "TurnRequest",
    "VoteRequest",
    "parse",
]

_NO_NUL = r"^[^\x00]*$"  # PostgreSQL's text has none
_Short = Annotated[str, Field(max_length=200, pattern=_NO_NUL)]
_Token = Annotated[str, Field(max_length=64)]
_Comment = Annotated[str, Field(max_length=4000, pattern=_NO_NUL)]
_Prompt = Annotated[str, Field(min_length=1, max_length=20_000, pattern=_NO_NUL)]
_Number = Annotated[int, Field(ge=-1000, le=1000)]
_Numbers = Annotated[tuple[_Number, ...], Field(max_length=20)]


class EmptyRequest(BaseModel):
    """A body without fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ConsentRequest(EmptyRequest):
    """Agreement to a version of the text."""

    version: _Short


class BattleRequest(EmptyRequest):
    """Resume or open a battle."""

    prompt: _Prompt | None = None
    advance: bool = False


class TokenRequest(EmptyRequest):
    """Name a battle by its token."""

    token: _Token


class TurnRequest(TokenRequest):
    """Go on with the conversation."""

    prompt: _Prompt


class SkipRequest(TokenRequest):
    """End a battle without a vote."""

    reason: _Short


class MistakeRequest(TokenRequest):
    """Say that a sealed vote was a mistake."""

    comment: _Comment = ""


class VoteRequest(TokenRequest):
    """A vote; see :class:`arena.records.Ballot`."""

    choice: Choice | None = None
    ranking: _Numbers | None = None
    ratings: Annotated[dict[_Short, _Numbers], Field(max_length=50)] = Field(default_factory=dict)
    reasons: Annotated[tuple[_Short, ...], Field(max_length=50)] = ()
    comment: _Comment = ""
    visible_ms: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reveal: bool = False
    evidence: _Comment = ""

    @property
    def ballot(self) -> Ballot:
        """What it says."""
        return Ballot(
            choice=self.choice,
            ranking=self.ranking,
            ratings=self.ratings,
            reasons=self.reasons,
            comment=self.comment,
            visible_ms=self.visible_ms,
        )


class LoginRequest(EmptyRequest):
    """Sign in by account or by a study's link."""

    name: _Short = ""
    password: _Short = ""
    link: _Comment = ""


class ForgetRequest(EmptyRequest):
    """Be forgotten."""

    votes: Literal["keep", "delete"]


RequestT = TypeVar("RequestT", bound=EmptyRequest)


def parse(body: bytes, kind: type[RequestT]) -> RequestT:
    """Read a body.

    Raises
    ------
    Refused
        ``bad_request`` with the first field that does not fit.
    """
    try:
        return kind.model_validate_json(body or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Refused("bad_request", f"{where}: {first['msg']}") from error
