"""Who rates which item next, and which answer stands where: pure rules over what was shown so far.

Everything that looks random follows from the study's seed, so that two replicas agree and a plan
can be looked at beforehand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from arena.studies.items import ItemKind, StudyItem
from evalcore.hashing import content_hash

__all__ = ["Assignment", "Plan", "RaterHistory", "Tally", "assign", "planned", "sides_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a study asks for."""

    items: Sequence[StudyItem]
    """All of them, of any kind, in the order of the files."""
    ratings_per_item: int
    items_per_rater: int | None = None
    gold_every: int | None = None
    completes_items_in_turn: bool = False
    """Finish items one after the other, as an anytime-valid rule needs, rather than all at once."""
    seed: int = 0

    def of_kind(self, *kinds: ItemKind) -> list[StudyItem]:
        """Items of some kinds, in order."""
        return [item for item in self.items if item.kind in kinds]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often an item was rated or is being rated."""

    n: int = 0
    by_rotation: Mapping[int, int] = field(default_factory=dict)
    n_open: int = 0
    """Of these, how many are not finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterHistory:
    """What one rater was shown."""

    rater: str
    shown: Mapping[str, int] = field(default_factory=dict)
    """Rotation by item, whatever became of it."""
    n_main: int = 0
    """Items of kind main that were rated or are open: what counts towards the rater's quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """An item for a rater."""

    item: StudyItem
    rotation: int
    """How far the answers are turned; see :func:`sides_of`."""


_FIRST_TALLY = Tally()


def assign(
    plan: Plan,
    history: RaterHistory,
    tallies: Mapping[str, Tally],
    *,
    closed: Collection[str] = (),
) -> Assignment | int | None:
    """Choose a rater's next item.

    First all training, then in each block of ``gold_every`` items one known one, at a place that
    the seed and the rater decide; else a main item that lacks ratings and is new to the rater: the
    least rated first, those whose prompt is new to the rater before others, then by the seed.

    The answers are turned the way that this item had least often, then so that the answer comes
    first which this rater, then the whole study, had first least often, then by the seed: each
    answer of an item stands on each place equally often, as near as the number of ratings permits.

    Parameters
    ----------
    plan
        The study.
    history
        What the rater was shown.
    tallies
        By item; none for those never shown.
    closed
        Items that need no more ratings, as their pair is decided.

    Returns
    -------
    Assignment, int or None
        An int says that items are left for this rater once others, that many, give theirs back;
        None that nothing is left.
    """
    item = _training_item(plan, history)
    if item is None:
        if plan.items_per_rater is not None and history.n_main >= plan.items_per_rater:
            return None
        new = [
            item
            for item in plan.of_kind("main")
            if item.id not in history.shown and item.id not in closed
        ]
        lacking = [i for i in new if tallies.get(i.id, _FIRST_TALLY).n < plan.ratings_per_item]
        if not lacking:
            return sum(tallies.get(item.id, _FIRST_TALLY).n_open for item in new) or None
        item = _known_item(plan, history) or _most_wanted(plan, lacking, history, tallies)
    return Assignment(item=item, rotation=_rotation(plan, item, history, tallies))


def sides_of(plan: Plan, item: StudyItem, rotation: int) -> tuple[int, ...]:
    """Return for each place on the page, from the left, which answer of an item stands there.

    The n rotations put each answer on each place once. With more than two answers the order that is
    turned is drawn for each item, so that no answer always follows the same other one.
    """
    order = _order(plan.seed, item.id, len(item.answers))
    return order[rotation:] + order[:rotation]


@lru_cache(maxsize=1 << 16)  # asked for every rating of a study each time an item is given out
def _order(seed: int, item_id: str, n_answers: int) -> tuple[int, ...]:
    order = range(n_answers)
    if n_answers <= 2:
        return tuple(order)
    return tuple(sorted(order, key=lambda place: content_hash([seed, item_id, "order", place])))


def planned(plan: Plan, *, rater: str) -> int:
    """Return how many items of all kinds a rater gets, if none is taken by others first."""
    n_main = min(len(plan.of_kind("main")), plan.items_per_rater or len(plan.items))
    n_known = len(plan.of_kind("gold", "attention"))
    given_main = given_known = 0
    while given_main < n_main:
        is_known = given_known < n_known and _known_is_due(plan, rater, given_main + given_known)
        given_known += is_known
        given_main += not is_known
    return len(plan.of_kind("training")) + n_main + given_known


def _known_is_due(plan: Plan, rater: str, n_before: int) -> bool:
    """Tell whether a known item comes after so many others that are no training."""
    if plan.gold_every is None:
        return False
    block, place = divmod(n_before, plan.gold_every)
    return place == int(content_hash([plan.seed, rater, "gold", block]), 16) % plan.gold_every


def _training_item(plan: Plan, history: RaterHistory) -> StudyItem | None:
    training = plan.of_kind("training")
    return next((item for item in training if item.id not in history.shown), None)


def _known_item(plan: Plan, history: RaterHistory) -> StudyItem | None:
    """Return the gold item or check that is due, if any."""
    unseen = [item for item in plan.of_kind("gold", "attention") if item.id not in history.shown]
    n_before = len(history.shown) - len(plan.of_kind("training"))
    if not unseen or not _known_is_due(plan, history.rater, n_before):
        return None
    return min(unseen, key=lambda item: content_hash([plan.seed, history.rater, item.id]))


def _most_wanted(
    plan: Plan,
    lacking: Sequence[StudyItem],
    history: RaterHistory,
    tallies: Mapping[str, Tally],
) -> StudyItem:
    prompts = Counter(item.example.id for item in plan.of_kind("main") if item.id in history.shown)

    def urgency(item: StudyItem) -> tuple[int, int, str]:
        n = tallies.get(item.id, _FIRST_TALLY).n
        if plan.completes_items_in_turn:
            return -n, prompts[item.example.id], content_hash([plan.seed, item.id])
        who = content_hash([plan.seed, history.rater, item.id])
        return n, prompts[item.example.id], who

    return min(lacking, key=urgency)


def _rotation(
    plan: Plan, item: StudyItem, history: RaterHistory, tallies: Mapping[str, Tally]
) -> int:
    of_item = tallies.get(item.id, _FIRST_TALLY).by_rotation
    of_rater: Counter[int] = Counter()
    of_study: Counter[int] = Counter()
    for other in plan.items:
        if other.id in history.shown:
            of_rater[sides_of(plan, other, history.shown[other.id])[0]] += 1
        for rotation, n in tallies.get(other.id, _FIRST_TALLY).by_rotation.items():
            of_study[sides_of(plan, other, rotation)[0]] += n

    def use(rotation: int) -> tuple[int, int, int, str]:
        first = sides_of(plan, item, rotation)[0]
        drawn = content_hash([plan.seed, history.rater, item.id, rotation])
        return of_item.get(rotation, 0), of_rater[first], of_study[first], drawn

    return min(range(len(item.answers)), key=use)
