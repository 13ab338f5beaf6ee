"""Where live battles come from: a visitor's prompt or one of a set, and two models by a policy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from arena.live.admission import Admission
from arena.live.categories import categorise, language_of
from arena.live.health import Health
from arena.live.policies import make_policy
from arena.records import Ballot, Battle, BattleStatus, Pairing, Progress, Rater, Waiting
from arena.refusals import Refused
from evalcore.hashing import content_hash
from evalcore.records import Example, Message, ModelSpec, Winner
from evalcore.stats.counts import Counts
from evalcore.store import arena_schema as tables
from evalcore.store import schema

__all__ = ["Drawing", "LiveSource"]

_REFRESH_S = 30.0
_ENDS = (BattleStatus.SKIPPED, BattleStatus.EXPIRED, BattleStatus.VOID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How pairs and prompts are drawn."""

    policy: str = "fewest"
    """Of :data:`arena.live.policies.POLICIES`."""
    top_k: int = 1
    """What the policy ``active`` is to settle."""
    prompts: Sequence[Example] = ()
    """For visitors who don't type one; none means that they have to."""
    seed: int | None = None
    """Of the draws; None takes one from the system."""


class LiveSource:
    """See :class:`arena.sources.BattleSource`.

    Parameters
    ----------
    models
        At least two, as their runners say.
    drawing
        How pairs and prompts are drawn.
    health
        Which models can be drawn now.
    admission
        Which prompts could not be checked.
    abandon
        Called with the id of a battle that has ended without its answers; must not wait.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        drawing: Drawing,
        *,
        health: Health,
        admission: Admission,
        abandon: Callable[[str], None],
    ) -> None:
        self._drawing = drawing
        self._names = {spec.fingerprint: spec.name for spec in models}
        self._policy = make_policy(drawing.policy, top_k=drawing.top_k)
        self._health = health
        self._admission = admission
        self._abandon = abandon
        self._rng = np.random.default_rng(drawing.seed)
        self._tally = _Tally(tuple(self._names))

    @property
    def study(self) -> str:
        """Empty: live battles belong to no study."""
        return ""

    def next_battle(
        self, connection: Connection, rater: Rater, *, prompt: str | None
    ) -> Pairing | Waiting:
        """Pair two models that can answer now; the place in the queue is promised already.

        Raises
        ------
        Refused
            ``prompt_needed`` without a prompt, typed or to be drawn.
        """
        available = self._health.available(self._names)
        if len(available) < 2:
            return Waiting(message="No two models can answer now; please try again in a moment.")
        typed = (prompt or "").strip()
        example = _typed_example(typed) if typed else self._draw(connection, rater)
        models = self._pair(connection, available)
        return Pairing(
            models=models,
            names=tuple(self._names[model] for model in models),
            example=example,
            category=example.category,
            flags=self._flags(example, is_typed=bool(typed), n_available=len(available)),
        )

    def opened(self, connection: Connection, battle: Battle) -> None:
        """Count the battle as one under way."""
        self._tally.open(battle)

    def settled(self, connection: Connection, battle: Battle, ballot: Ballot | None) -> None:
        """Count the vote; let go of answers that nobody waits for."""
        self._tally.settle(battle, ballot)
        if battle.status in _ENDS:
            self._abandon(battle.id)

    def progress(self, connection: Connection, rater: Rater) -> Progress:
        """Return how many votes a rater has given; there is no end."""
        columns = tables.vote.c
        query = sa.select(sa.func.count()).where(columns.rater == rater.id)
        return Progress(done=connection.scalar(query) or 0, total=None)

    def _pair(self, connection: Connection, available: Sequence[str]) -> tuple[str, str]:
        counts = self._tally.counts(connection)
        places = np.array([counts.models.index(model) for model in available], dtype=np.intp)
        return self._policy(counts.take(places), self._rng)

    def _draw(self, connection: Connection, rater: Rater) -> Example:
        """Draw one of the prompts that the rater has seen least often."""
        if not self._drawing.prompts:
            raise Refused("prompt_needed")
        columns = tables.battle.c
        query = (
            sa.select(columns.example_id, sa.func.count())
            .where(columns.rater == rater.id, columns.study == "")
            .group_by(columns.example_id)
        )
        seen: dict[str, int] = {row[0]: row[1] for row in connection.execute(query)}
        prompts = [_first_turn(example) for example in self._drawing.prompts]
        least = min(seen.get(example.id, 0) for example in prompts)
        fresh = [example for example in prompts if seen.get(example.id, 0) == least]
        return fresh[self._rng.integers(len(fresh))]

    def _flags(
        self, example: Example, *, is_typed: bool, n_available: int
    ) -> Mapping[str, str | int]:
        prompt = example.messages[-1].content
        flags: dict[str, str | int] = {
            "policy": self._drawing.policy,
            "prompt": "typed" if is_typed else "drawn",
            "language": language_of(prompt),
            "n_available": n_available,
        }
        if self._admission.was_unchecked(prompt):
            flags["moderation"] = "unavailable"
        return flags


class _Tally:
    """Votes so far, read now and then and counted along in between; battles under way are ties."""

    def __init__(self, models: tuple[str, ...]) -> None:
        self._models = models
        self._counts = _no_votes(models)
        self._read_s: float | None = None
        self._open: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def open(self, battle: Battle) -> None:
        with self._lock:
            self._open[battle.id] = _pair(battle)

    def settle(self, battle: Battle, ballot: Ballot | None) -> None:
        with self._lock:
            was_open = self._open.pop(battle.id, None) is not None
            if battle.status is BattleStatus.VOTED and ballot is not None and was_open:
                first, second = _pair(battle)
                self._counts = self._counts.add(first, second, _winner(battle, ballot))

    def counts(self, connection: Connection) -> Counts:
        with self._lock:
            now_s = time.monotonic()
            if self._read_s is None or now_s - self._read_s > _REFRESH_S:
                self._counts, self._read_s = _read_counts(connection, self._models), now_s
            counts = self._counts
            for first, second in self._open.values():
                counts = counts.add(first, second, "tie")
            return counts


def _pair(battle: Battle) -> tuple[str, str]:
    return battle.models[0], battle.models[1]


def _winner(battle: Battle, ballot: Ballot) -> Winner:
    """Return the choice in the order of the battle's models."""
    if ballot.choice not in ("left", "right"):
        return "both_bad" if ballot.choice == "both_bad" else "tie"
    position = 0 if ballot.choice == "left" else 1
    return "model_a" if battle.sides[position] == 0 else "model_b"


def _no_votes(models: tuple[str, ...]) -> Counts:
    nothing = np.zeros((len(models), len(models)))
    return Counts(
        models=models, wins=nothing, ties=nothing, win_squares=nothing, tie_squares=nothing
    )


def _read_counts(connection: Connection, models: tuple[str, ...]) -> Counts:
    columns = schema.comparison.c
    sides = [columns.model_a, columns.model_b]
    query = (
        sa.select(columns.model_a, columns.model_b, columns.winner, sa.func.count())
        .where(columns.rater_kind == "human", *(side.in_(models) for side in sides))
        .group_by(*sides, columns.winner)
    )
    place = {model: at for at, model in enumerate(models)}
    wins = np.zeros((len(models), len(models)))
    ties = np.zeros_like(wins)
    for model_a, model_b, winner, n in connection.execute(query):
        a, b = place[model_a], place[model_b]
        if winner == "model_a":
            wins[a, b] += n
        elif winner == "model_b":
            wins[b, a] += n
        else:
            ties[a, b] += n
            ties[b, a] += n
    return Counts(models=models, wins=wins, ties=ties, win_squares=wins, tie_squares=ties)


def _typed_example(prompt: str) -> Example:
    return _example((Message(role="user", content=prompt),), categorise(prompt))


def _first_turn(example: Example) -> Example:
    """Return a prompt of a set as a live battle begins it: what follows is up to the visitor."""
    if not example.follow_ups:
        category = example.category or categorise(example.messages[-1].content)
        return replace(example, category=category)
    return _example(example.messages, example.category)


def _example(messages: tuple[Message, ...], category: str | None) -> Example:
    said = [[message.role, message.content] for message in messages]
    return Example(id=content_hash([said, ()]), messages=messages, category=category)
