"""Who rates what, and which answer stands where."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.studies.assignment import (
    Assignment,
    Plan,
    RaterHistory,
    Tally,
    assign,
    planned,
    sides_of,
)
from arena.studies.items import StudyAnswer, StudyItem
from evalcore.records import Example, Message


def make_item(name: str, kind: str = "main", n_answers: int = 2) -> StudyItem:
    return StudyItem(
        id=name,
        kind=kind,
        example=Example(id=f"example {name}", messages=(Message(role="user", content=name),)),
        answers=tuple(
            StudyAnswer(model=f"m{place}", name=f"m{place}", turns=("text",))
            for place in range(n_answers)
        ),
        expected="" if kind == "main" else "m0",
    )


def make_plan(n_main: int, *, n_gold: int = 0, n_training: int = 0, n_answers: int = 2, **settings):
    items = [make_item(f"t{n}", "training") for n in range(n_training)]
    items += [make_item(f"m{n}", n_answers=n_answers) for n in range(n_main)]
    items += [make_item(f"g{n}", "gold" if n % 2 else "attention") for n in range(n_gold)]
    return Plan(items=items, **{"ratings_per_item": 1} | settings)


class Run:
    """All raters in turns, each rating at once what it is given."""

    def __init__(self, plan: Plan, n_raters: int) -> None:
        self.plan = plan
        self.given: dict[str, list[Assignment]] = {f"r{n}": [] for n in range(n_raters)}
        waiting = set(self.given)
        while waiting:
            for rater in sorted(waiting):
                found = assign(plan, self.history(rater), self.tallies())
                if isinstance(found, Assignment):
                    self.given[rater].append(found)
                else:
                    waiting.remove(rater)

    def history(self, rater: str) -> RaterHistory:
        given = self.given[rater]
        return RaterHistory(
            rater=rater,
            shown={one.item.id: one.rotation for one in given},
            n_main=sum(one.item.kind == "main" for one in given),
        )

    def tallies(self) -> dict[str, Tally]:
        turned: dict[str, Counter[int]] = {}
        for one in (one for mine in self.given.values() for one in mine):
            turned.setdefault(one.item.id, Counter())[one.rotation] += 1
        return {item: Tally(n=by.total(), by_rotation=by) for item, by in turned.items()}


@given(
    n_main=st.integers(1, 8),
    n_raters=st.integers(1, 9),
    k=st.integers(1, 5),
    n_answers=st.integers(2, 4),
)
def test_sides_are_balanced_within_each_item(n_main: int, n_raters: int, k: int, n_answers: int):
    plan = make_plan(n_main, ratings_per_item=k, n_answers=n_answers)
    tallies = Run(plan, n_raters).tallies()
    for tally in tallies.values():
        counts = [tally.by_rotation.get(turn, 0) for turn in range(n_answers)]
        assert max(counts) - min(counts) <= 1


@given(n_main=st.integers(2, 30), n_raters=st.integers(5, 9), seed=st.integers(0, 5))
def test_sides_are_balanced_over_the_study_and_within_raters(n_main, n_raters, seed):
    run = Run(make_plan(n_main, ratings_per_item=5, seed=seed), n_raters)
    left = Counter(one.rotation for mine in run.given.values() for one in mine)
    assert abs(left[0] - left[1]) <= 6
    for mine in run.given.values():
        assert abs(len(mine) - 2 * sum(one.rotation for one in mine)) <= 6


@given(n_main=st.integers(1, 8), n_raters=st.integers(1, 9), k=st.integers(1, 5))
def test_items_get_as_many_ratings_as_asked_or_as_there_are_raters(n_main, n_raters, k):
    tallies = Run(make_plan(n_main, ratings_per_item=k), n_raters).tallies()
    assert {tally.n for tally in tallies.values()} == {min(k, n_raters)}


@given(quota=st.integers(1, 6), n_gold=st.integers(0, 4), every=st.integers(2, 5))
def test_rater_gets_the_quota_and_what_was_planned(quota: int, n_gold: int, every: int):
    plan = make_plan(
        6, n_gold=n_gold, n_training=2, ratings_per_item=3, items_per_rater=quota, gold_every=every
    )
    for rater, given_items in Run(plan, 3).given.items():
        kinds = Counter(one.item.kind for one in given_items)
        assert kinds["main"] == quota
        assert len(given_items) == planned(plan, rater=rater)
        assert len({one.item.id for one in given_items}) == len(given_items)


def test_training_comes_first_and_in_order():
    given_items = Run(make_plan(3, n_training=2, n_gold=2, gold_every=2), 1).given["r0"]
    assert [one.item.id for one in given_items[:2]] == ["t0", "t1"]


def test_each_block_has_one_known_item_at_a_place_that_differs_by_rater():
    plan = make_plan(40, n_gold=10, gold_every=5, ratings_per_item=9)
    places = []
    for given_items in Run(plan, 6).given.values():
        known = [n for n, one in enumerate(given_items) if one.item.kind != "main"]
        assert [place // 5 for place in known] == list(range(len(known)))
        places.append(tuple(place % 5 for place in known))
    assert len(set(places)) == len(places)


def test_rater_is_asked_to_wait_while_others_hold_what_is_left():
    plan = make_plan(1)
    held = {"m0": Tally(n=1, by_rotation={0: 1}, n_open=1)}
    assert assign(plan, RaterHistory(rater="r"), held) == 1
    rated = {"m0": Tally(n=1, by_rotation={0: 1})}
    assert assign(plan, RaterHistory(rater="r"), rated) is None


def test_closed_items_are_not_given_out():
    assert assign(make_plan(1), RaterHistory(rater="r"), {}, closed={"m0"}) is None


def test_anytime_plan_completes_items_one_after_the_other():
    plan = make_plan(5, ratings_per_item=3, completes_items_in_turn=True)
    run = {f"r{n}": assign(plan, RaterHistory(rater=f"r{n}"), {}).item.id for n in range(4)}
    assert len(set(run.values())) == 1
    begun = {"m3": Tally(n=2, by_rotation={0: 1, 1: 1})}
    assert assign(plan, RaterHistory(rater="r"), begun).item.id == "m3"


@pytest.mark.parametrize("n_answers", [1, 2, 4])
def test_rotations_put_each_answer_on_each_place_once(n_answers: int):
    plan = make_plan(1, n_answers=n_answers)
    turned = [sides_of(plan, plan.items[0], turn) for turn in range(n_answers)]
    for place in range(n_answers):
        assert sorted(sides[place] for sides in turned) == list(range(n_answers))


def test_another_seed_gives_another_order():
    orders = {
        tuple(one.item.id for one in Run(make_plan(8, seed=seed), 1).given["r0"])
        for seed in range(3)
    }
    assert len(orders) == 3
