"""A jury: several judges, counted by weight."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import InputError
from evalcore.judges.jury import jury, jury_outcome, jury_rating
from evalcore.judges.merging import Outcome
from evalcore.judges.rated import RatedTurn
from evalcore.judges.records import Answer, Judge
from evalcore.protocols import Completion
from evalcore.records import ModelSpec

WINNERS = ("model_a", "model_b", "tie", "both_bad", None)


def judges(*weights: float) -> list[Judge]:
    return [
        Judge(name=f"j{n}", spec=ModelSpec(name=f"j{n}", backend="fake", weights=f"{n}"), weight=w)
        for n, w in enumerate(weights)
    ]


def outcome(winner: str | None) -> Outcome:
    return Outcome(
        example_id="e",
        turn=1,
        answer_a=Answer(fingerprint="a", texts=("x",)),
        answer_b=Answer(fingerprint="b", texts=("y",)),
        status="agreed" if winner else "unscored",
        winner=winner,
        value={"model_a": 1.0, "model_b": 0.0, None: math.nan}.get(winner, 0.5),
        n_orders=2,
        prompt_version="p",
        cost_usd=0.5,
    )


@pytest.mark.parametrize(
    ("weights", "winners", "expected"),
    [
        ((1, 1, 1), ("model_a", "model_a", "model_b"), "model_a"),
        ((1, 1, 3), ("model_a", "model_a", "model_b"), "model_b"),
        ((1, 1), ("model_a", "model_b"), "tie"),
        ((1, 1, 1), ("model_a", "model_b", "tie"), "tie"),
        ((0.1, 0.2, 0.3), ("model_a", "model_a", "model_b"), "tie"),
        ((1, 1, 1), ("model_a", None, "model_a"), "model_a"),
        ((1, 1, 1), ("model_a", None, None), None),
        ((1, 1), ("model_a", None), None),
    ],
)
def test_most_weight_wins_and_half_must_vote(weights, winners, expected):
    found = jury_outcome(judges(*weights), [outcome(winner) for winner in winners])
    assert found.winner == expected
    assert found.cost_usd == pytest.approx(0.5 * len(weights))


@given(st.lists(st.tuples(st.sampled_from(WINNERS), st.floats(0.1, 10)), min_size=1, max_size=6))
def test_jury_treats_both_models_alike(votes):
    members = judges(*(weight for _, weight in votes))
    turned = {"model_a": "model_b", "model_b": "model_a"}
    straight = jury_outcome(members, [outcome(winner) for winner, _ in votes])
    swapped = jury_outcome(members, [outcome(turned.get(w, w)) for w, _ in votes])
    assert swapped.winner == turned.get(straight.winner, straight.winner)
    assert swapped.value == pytest.approx(1 - straight.value, nan_ok=True)


def test_ratings_are_weighted_means_without_those_who_abstain():
    rated = RatedTurn(fingerprint="m", example_id="e", turn=1, value=8.0, parts={"clarity": 4.0})
    nothing = replace(rated, value=math.nan, parts={})
    lower = replace(rated, value=2.0, parts={"clarity": 1.0})
    found = jury_rating(judges(2, 1, 1), [rated, lower, nothing])
    assert found.value == pytest.approx(6.0)
    assert found.parts == {"clarity": pytest.approx(3.0)}
    assert math.isnan(jury_rating(judges(1, 1), [rated, nothing]).value)


def test_jury_has_its_members_and_weights_in_its_identity():
    members = judges(1, 2)
    assert jury(members).name == "jury(j0×1, j1×2)"
    assert jury(members).fingerprint == jury(members[::-1]).fingerprint
    assert jury(members).fingerprint != jury(judges(2, 1)).fingerprint


def test_only_the_jury_makes_comparisons(room, question):
    example = question("q", "Why?")
    specs = [room.answer(example, name, f"answer of {name}") for name in ("one", "two")]
    first = room.member(lambda p: _verdict(p, "one"), "first", weight=2.0)
    second = room.member(lambda p: _verdict(p, "two"), "second")
    result = room.judge(room.plan(specs, [example]), first, second, is_jury=True)
    (comparison,) = room.store.comparisons()
    assert comparison.rater == "jury(first×2, second×1)"
    assert comparison.winner == "model_a"
    assert [pair.rater for pair in result.pairs] == ["first", "second", comparison.rater]
    assert {verdict.rater for verdict in room.store.verdicts()} == {"first", "second"}


def test_jury_rates_single_answers(room, question):
    example = question("q", "Why?")
    spec = room.answer(example, "model", "an answer")
    members = [
        room.member(lambda _prompt, n=n: f'{{"rating": {n}}}', f"j{n}", weight=float(n))
        for n in (2, 8)
    ]
    plan = room.plan([spec], [example], kind="single")
    (run,) = room.judge(plan, *members, prompt="single", is_jury=True).runs
    assert run.estimates["rating"].value == pytest.approx((4 + 64) / 10)


def test_jury_of_one_and_two_of_a_name_are_refused(room, question):
    example = question("q", "Why?")
    specs = [room.answer(example, name, f"answer of {name}") for name in ("one", "two")]
    plan, judge = room.plan(specs, [example]), room.member(lambda _prompt: "")
    with pytest.raises(InputError, match="a jury needs two models"):
        room.judge(plan, judge, is_jury=True)
    with pytest.raises(InputError, match="two judges are named 'judge'"):
        room.judge(plan, judge, replace(judge, weight=2.0))


def _verdict(prompt: str, better: str) -> str:
    first = prompt.index(f"answer of {better}") < prompt.index("Answer B:")
    return f'{{"verdict": "{"A" if first else "B"}"}}'


def test_member_without_a_reply_abstains_from_a_rating(room, question):
    example = question("q", "Why?")
    spec = room.answer(example, "model", "an answer")
    failed = Completion(
        text="HTTP 500",
        finish_reason="error",
        prompt_tokens=0,
        completion_tokens=0,
        duration_s=0.0,
    )
    members = [
        room.member(lambda _prompt: '{"rating": 6}', "heavy", weight=2.0),
        room.member(lambda _prompt: failed, "absent"),
    ]
    plan = room.plan([spec], [example], kind="single")
    result = room.judge(plan, *members, prompt="single", is_jury=True)
    assert result.runs[0].estimates["rating"].value == pytest.approx(6)
    assert "absent: HTTP 500" in result.problems[0]
