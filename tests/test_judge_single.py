"""Single answers: ratings become scores and runs that a leaderboard shows."""

import math

import pytest

from evalcore.errors import InputError
from evalcore.judges.rules import parse_rule
from evalcore.protocols import Completion


def rates(prompt: str) -> str:
    """Rate the answer by the number it holds."""
    number = prompt.partition("marks=")[2].split("\n")[0].strip()
    return f'{{"explanation": "", "rating": {number}}}' if number else "no idea"


@pytest.fixture
def plan(room, question):
    """Two models' answers to four questions of two categories."""
    examples = [
        question(f"q{n}", f"Question {n}?", category="odd" if n % 2 else "even") for n in range(4)
    ]
    marks = {"good": [9, 8, 10, 7], "bad": [3, 2, 1, 4]}
    specs = {}
    for name, some in marks.items():
        for example, mark in zip(examples, some, strict=True):
            specs[name] = room.answer(example, name, f"{name} marks={mark}")
    return room.plan(list(specs.values()), examples, kind="single")


def test_ratings_become_scores_and_runs(room, plan):
    judge = room.member(rates)
    good, bad = room.judge(plan, judge, prompt="single").runs
    assert good.estimates["rating"].value == 8.5
    assert good.estimates["rating/even"].value == 9.5
    assert bad.estimates["rating"].value == 2.5
    assert good.task == "prompts:single-v1:judge"
    table = room.store.score_table(good.task_hash, "rating")
    assert table.values.sum() == 34 + 10
    assert [run.run_id for run in room.store.runs()] == sorted([good.run_id, bad.run_id])


def test_ratings_reach_the_leaderboard(room, plan):
    from leaderboards.standings import standings

    room.judge(plan, room.member(rates), prompt="single")
    board = standings(room.store)
    assert [row.model.name for row in board.standings] == ["good", "bad"]


def test_rating_off_the_scale_is_unscored_and_counted(room, question):
    examples = [question(f"q{n}", f"Question {n}?") for n in range(3)]
    for example, mark in zip(examples, (0, 11, 6), strict=True):
        spec = room.answer(example, "model", f"marks={mark}")
    result = room.judge(
        room.plan([spec], examples, kind="single"), room.member(rates), prompt="single"
    )
    (run,) = result.runs
    assert run.estimates["rating"].value == 6
    assert run.estimates["rating"].n_unscored == 2
    assert "2 of 3 replies" in result.problems[0]


def test_unscored_rating_is_replaced_when_a_reply_comes(room, question):
    example = question("q", "Why?")
    spec = room.answer(example, "model", "marks=5")
    plan = room.plan([spec], [example], kind="single")
    failed = Completion(
        text="HTTP 500",
        finish_reason="error",
        prompt_tokens=0,
        completion_tokens=0,
        duration_s=0.0,
    )
    judge = room.member(lambda _prompt: failed)
    (run,) = room.judge(plan, judge, prompt="single").runs
    assert run.estimates["rating"].n_unscored == 1
    room.runners[judge.fingerprint].reply = rates
    room.judge(plan, judge, prompt="single")
    assert room.store.score_table(run.task_hash, "rating").values.tolist() == [[5.0]]


def test_turns_are_rated_each_and_averaged(room, question):
    example = question("q", "One?", "Two?")
    spec = room.answer(example, "model", "first marks=8", "second marks=4")

    def reply(prompt: str) -> str:
        return rates(prompt[prompt.rindex("marks=") :])

    judge = room.member(reply)
    (run,) = room.judge(room.plan([spec], [example], kind="single"), judge, prompt="single").runs
    values = {metric: estimate.value for metric, estimate in run.estimates.items()}
    assert values == {"rating": 6, "rating_turn_1": 8, "rating_turn_2": 4}


def test_conversation_with_an_unrated_turn_is_unscored(room, question):
    example = question("q", "One?", "Two?")
    spec = room.answer(example, "model", "first marks=8", "second")
    judge = room.member(lambda prompt: rates(prompt) if "Two?" not in prompt else "well")
    (run,) = room.judge(room.plan([spec], [example], kind="single"), judge, prompt="single").runs
    assert math.isnan(run.estimates["rating"].value)
    assert run.estimates["rating_turn_1"].value == 8


def test_rubric_has_a_metric_for_each_criterion(room, question):
    example = question("q", "Why?")
    spec = room.answer(example, "model", "an answer")
    ratings = '{"correctness": 5, "completeness": 4, "clarity": 3, "concision": 2}'
    judge = room.member(lambda _prompt: f'{{"explanation": "", "ratings": {ratings}}}')
    (run,) = room.judge(room.plan([spec], [example], kind="single"), judge, prompt="rubric").runs
    assert run.estimates["clarity"].value == 3
    assert run.estimates["rating"].value == pytest.approx((15 + 8 + 3 + 2) / 7)


def test_reference_is_shown_where_there_is_one(room, question):
    examples = [question("q1", "2+2?", references=["REFERENCE"]), question("q2", "Why?")]
    for example in examples:
        spec = room.answer(example, "model", "marks=5")
    judge = room.member(rates)
    room.judge(room.plan([spec], examples, kind="single"), judge, prompt="single")
    with_reference, without = room.asked(judge)
    assert "REFERENCE" in with_reference
    assert "Reference" not in without


def test_answer_that_a_model_lacks_is_named(room, question):
    examples = [question("q1", "One?"), question("q2", "Two?", "And?")]
    spec = room.answer(examples[0], "model", "x")
    room.answer(examples[1], "model", "the first turn only")
    with pytest.raises(InputError, match="'model' has no answer to 1 of 2 prompts, such as 'q2'"):
        room.plan([spec], examples, kind="single")


def test_rule_refuses_single_answers(room, plan):
    with pytest.raises(InputError, match="compares pairs"):
        room.judge(plan, prompt="single", rules=(parse_rule("rule:longest"),))
