"""A source of battles for tests and load: made-up prompts, stored answers, no end unless given."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from arena.records import (
    Ballot,
    Battle,
    BattleStatus,
    Finished,
    Form,
    Pairing,
    Progress,
    Rater,
    Waiting,
)
from evalcore.hashing import content_hash
from evalcore.records import Example, Message

__all__ = ["FakeSource"]


class FakeSource:
    """Gives every rater the same items in order; skipped ones do not come again.

    Parameters
    ----------
    models
        Names of the models, at least two.
    n_items
        Battles for each rater; None for no end.
    stored
        Whether answers are there at once.
    form
        What is asked.
    rated
        Whether votes count.
    """

    def __init__(
        self,
        models: tuple[str, ...] = ("alpha", "beta"),
        *,
        n_items: int | None = None,
        stored: bool = True,
        form: Form = Form(),  # noqa: B008 - frozen
        rated: bool = True,
    ) -> None:
        self._models = models
        self._n_items = n_items
        self._stored = stored
        self._form = form
        self._rated = rated
        self._given: dict[str, int] = {}
        self.settlements: list[tuple[BattleStatus, Ballot | None]] = []
        """What was settled, in order."""

    @property
    def study(self) -> str:
        """No study."""
        return ""

    def next_battle(
        self, connection: Connection, rater: Rater, *, prompt: str | None
    ) -> Pairing | Waiting | Finished:
        """Return the next item; a prompt replaces the made-up one."""
        number = self._given.get(rater.id, 0)
        if number == self._n_items:
            return Finished(reason="complete", message="You have seen everything.")
        content = prompt or f"Question {number}?"
        answers = tuple((f"Answer {number} in style {place}.",) for place in self._places)
        return Pairing(
            models=self._models,
            names=tuple(f"Model {name}" for name in self._models),
            example=Example(
                id=content_hash(content), messages=(Message(role="user", content=content),)
            ),
            answers=answers if self._stored else None,
            item=str(number),
            form=self._form,
            rated=self._rated,
        )

    def opened(self, connection: Connection, battle: Battle) -> None:
        """Count."""
        self._given[battle.rater] = self._given.get(battle.rater, 0) + 1

    def settled(self, connection: Connection, battle: Battle, ballot: Ballot | None) -> None:
        """Note."""
        self.settlements.append((battle.status, ballot))

    def progress(self, connection: Connection, rater: Rater) -> Progress | None:
        """Battles opened so far."""
        return Progress(done=self._given.get(rater.id, 0), total=self._n_items)

    @property
    def _places(self) -> range:
        return range(len(self._models))
