"""What the arena speaks of: raters, battles, ballots, receipts.

Positions count answers as they are shown, 0 is left; places count models as the source names them.
``Battle.sides`` leads from one to the other. A :class:`BattleView` is all that may leave the server
before the vote is sealed: it holds no model, no name and not whether the battle is rated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, get_args

from evalcore.records import Example, FinishReason, Message

__all__ = [
    "CHOICES",
    "Answer",
    "Ballot",
    "Battle",
    "BattleStatus",
    "BattleView",
    "Choice",
    "Cookies",
    "Finished",
    "Form",
    "Pairing",
    "Progress",
    "Rater",
    "RaterOrigin",
    "Receipt",
    "Reveal",
    "Turn",
    "VoteStatus",
    "Waiting",
]

Choice = Literal["left", "right", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
RaterOrigin = Literal["visitor", "account", "link"]
Cookies = Mapping[str, str]


class BattleStatus(StrEnum):
    """Where a battle stands: created → streaming → ready → voted, or one of the other ends."""

    CREATED = "created"
    STREAMING = "streaming"
    READY = "ready"
    VOTED = "voted"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    VOID = "void"


class VoteStatus(StrEnum):
    """Whether a vote counts, and why not; all but ``undone`` are told to the rater."""

    COUNTED = "counted"
    """It is a comparison."""
    UNRATED = "unrated"
    """Kept, but of a training, gold or attention item; shown to the rater like a counted one."""
    UNVERIFIED = "unverified"
    """Kept, but a check could not be done; an administrator can accept it."""
    UNDONE = "undone"
    """Taken back before the reveal; the battle is open again."""
    MISTAKEN = "mistaken"
    """The rater reported a mistake after the reveal: left out of ratings, never rewritten."""
    VOID = "void"
    """An administrator left it out, with a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rater:
    """Who votes."""

    id: str
    """Random pseudonym; the rater's name in every vote and export."""
    origin: RaterOrigin = "visitor"
    account: str | None = None
    """Name of the account or of the link's addressee; None for visitors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What a battle asks of its rater."""

    kind: Literal["pairwise", "ranking", "rating"] = "pairwise"
    """One choice of two answers, ranks for all of them, or only the scales."""
    allows_tie: bool = True
    allows_both_bad: bool = True
    scales: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Name to lowest and highest value; each answer gets one. A label is a scale from 0 to 1."""
    reasons: tuple[str, ...] = ()
    """Reasons to tick, all optional."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What a source wants compared next."""

    models: tuple[str, ...]
    """Fingerprints or names, at least two (one for scales alone), in the source's order."""
    names: tuple[str, ...]
    """What the reveal calls them, same order; empty texts where a study keeps names to itself."""
    example: Example
    """What was asked; the whole conversation of a stored study, the first turn of a live battle."""
    answers: tuple[tuple[str, ...], ...] | None = None
    """Stored answers, one text a turn for each model; None if they are made after opening."""
    item: str | None = None
    """The study's item."""
    sides: tuple[int, ...] | None = None
    """Place shown at each position; None to draw it."""
    side_seed: int | None = None
    """Seed behind ``sides``; None to draw it."""
    rated: bool = True
    """False for training, gold and attention items, which never become comparisons."""
    form: Form = field(default_factory=Form)
    category: str | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Findings to keep with the battle, such as leaks or the policy that chose the pair."""
    note: str = ""
    """Told with the reveal, such as what was right in training and why."""
    lifetime_s: int | None = None
    """How long the battle can be voted on; None for the setting's ``battle_lifetime_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing to compare now, but soon."""

    message: str
    place: int | None = None
    """Visitors in front plus one; None where there is no queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Nothing more to compare for this rater."""

    reason: Literal["complete", "quota", "stopped"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rater is."""

    done: int
    total: int | None
    """None where there is no end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of a battle, as it is shown: masked, if it says who it is."""

    turn: int
    """From 0."""
    position: int
    """0 is left."""
    text: str
    finish_reason: FinishReason = "stop"
    leaks: tuple[str, ...] = ()
    """What was masked."""
    timings: Mapping[str, int] = field(default_factory=dict)
    """Milliseconds, such as ``first_piece_ms``; kept, never sent to the browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What was asked in one turn, and the answers as far as they are there."""

    number: int
    prompt: tuple[Message, ...]
    answers: tuple[Answer, ...] = ()
    """By position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Battle:
    """A battle's row. It knows the models: it never leaves the server."""

    id: str
    rater: str
    study: str
    """Empty for live battles."""
    item: str | None
    example_id: str
    models: tuple[str, ...]
    names: tuple[str, ...]
    sides: tuple[int, ...]
    """``models[sides[p]]`` is shown at position p."""
    side_seed: int
    form: Form
    rated: bool
    status: BattleStatus
    category: str | None
    note: str
    """Told with the reveal."""
    flags: Mapping[str, Any]
    created_ms: int
    """Milliseconds since 1970, UTC, as all times here."""
    ready_ms: int | None
    expires_ms: int
    is_open: bool
    """Whether it is the rater's present battle: until sealed, skipped, expired or void."""

    @property
    def is_unanswered(self) -> bool:
        """Whether an answer is waited for."""
        return self.status in (BattleStatus.CREATED, BattleStatus.STREAMING)

    @property
    def shown_models(self) -> tuple[str, ...]:
        """Models by position."""
        return tuple(self.models[place] for place in self.sides)

    @property
    def shown_names(self) -> tuple[str, ...]:
        """Names by position."""
        return tuple(self.names[place] for place in self.sides)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What a rater says of a battle; by position shown."""

    choice: Choice | None = None
    """None where the form asks for ranks or scales alone."""
    ranking: tuple[int, ...] | None = None
    """Rank of each answer, 1 is best; equal ranks tie."""
    ratings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Values by scale, one for each answer."""
    reasons: tuple[str, ...] = ()
    comment: str = ""
    visible_ms: int | None = None
    """How long the answers were visible, as the browser says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that a vote is in the database; the same vote again has the same receipt."""

    id: str
    battle_id: str
    choice: Choice | None
    ranking: tuple[int, ...] | None
    status: VoteStatus
    revision: int
    """1, and one more for each change before the reveal."""
    sealed: bool
    """True once names were told; nothing can be changed afterwards."""
    created_utc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal:
    """The names, by position; exists only for sealed votes. None where a study tells no names."""

    names: tuple[str, ...]
    note: str = ""
    """What the source wants to be told with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BattleView:
    """What a rater's browser may know of a battle."""

    battle_id: str
    token: str
    """Needed to vote; works for this rater alone."""
    status: BattleStatus
    turns: tuple[Turn, ...]
    form: Form
    category: str | None
    receipt: Receipt | None = None
    """Of the vote, if there is one that was not undone."""
    progress: Progress | None = None
    place: int | None = None
    """In the queue for answers."""
