"""Verdicts as judges write them, and what is no verdict."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.judges.parsing import read_reply, read_text
from evalcore.judges.prompt_files import load_protocol
from evalcore.judges.records import JudgePrompt
from evalcore.protocols import Completion, Loglikelihood


def bundled(name: str) -> JudgePrompt:
    return load_protocol(name).plain


def completion(text: str = "", logprobs: dict[str, float] | None = None) -> Completion:
    return Completion(
        text=text,
        finish_reason="stop",
        prompt_tokens=1,
        completion_tokens=1,
        duration_s=0.0,
        first_token_logprobs=logprobs,
    )


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ('{"explanation": "[[B]] is not it", "verdict": "A"}', "A"),
        ('Sure.\n```json\n{"explanation": "x", "verdict": "tie"}\n```', "tie"),
        ('{"verdict": "B", "explanation": "and then the text ends', "B"),
        ("One might say [[A]], but on second thought: [[B]]", "B"),
        ("**Final verdict:** Assistant A is better.", "A"),
        ("Verdict: **B**", "B"),
        (" B.\n", "B"),
        ('{"verdict": "A"} no, wait: {"verdict": "B"}', "B"),
        ('{"verdict": "Answer A"}', "A"),
        ('{"verdict": "draw"}', "tie"),
    ],
)
def test_verdict_is_found_however_it_is_written(text: str, label: str):
    assert read_text(bundled("pairwise"), text).label == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Both have merits.",
        "The verdict: A good answer by B would have helped",
        '{"explanation": "A is better", "verdict": "',
        '{"verdict": "C"}',
        '{"verdict": null}',
        "[[rating]] [[7]]",
        "I can't help with that. A language model should not judge.",
        "{" * 3000,
        '{"verdict":' + "[" * 20000,
        "\ud800 \x00 ￾",
    ],
)
def test_what_is_no_verdict_is_unscored_and_no_tie(text: str):
    assert math.isnan(read_text(bundled("pairwise"), text).value)


@pytest.mark.parametrize("name", ["pairwise", "single", "five-way", "rubric", "ranking"])
@given(text=st.text(alphabet='AB[]{}":.>= 0123456789verdictang\n', max_size=60))
def test_any_text_is_read_or_unscored(name: str, text: str):
    prompt = bundled(name)
    value = read_text(prompt, text).value
    low, high = prompt.scale if prompt.kind == "single" else (0.0, 1.0)
    assert math.isnan(value) or low <= value <= high


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("My verdict: [[A>>B]]", 1.0),
        ("[[A>B]] at first, in the end [[B >> A]]", 0.0),
        ("[[A=B]]", 0.5),
        ("[[B<A]]", 0.75),
        ("[[A>A]]", math.nan),
        ("A>>>B", math.nan),
    ],
)
def test_five_way_verdicts(text: str, value: float):
    assert read_text(bundled("five-way"), text).value == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"explanation": "fine", "rating": 7}', 7),
        ("Rating: [[8.5]]", 8.5),
        ("I give [[3]], no: [[4]]", 4),
        ("Rating: 6/10", 6),
        ("[5]", 5),
        ("9", 9),
        ("[[11]]", math.nan),
        ("[[0]]", math.nan),
        ("[[-1]]", math.nan),
        ("It has 7 parts", math.nan),
    ],
)
def test_ratings_within_the_scale(text: str, value: float):
    assert read_text(bundled("single"), text).value == pytest.approx(value, nan_ok=True)


def test_rubric_is_the_weighted_mean_and_needs_every_criterion():
    ratings = {"correctness": 5, "completeness": 4, "clarity": 3, "concision": 1}
    whole = read_text(bundled("rubric"), json.dumps({"explanation": "", "ratings": ratings}))
    assert whole.value == pytest.approx((3 * 5 + 2 * 4 + 3 + 1) / 7)
    assert whole.parts == ratings
    lines = "\n".join(f"- **{name}**: {value}" for name, value in ratings.items())
    assert read_text(bundled("rubric"), lines) == whole
    del ratings["clarity"]
    part = read_text(bundled("rubric"), json.dumps({"ratings": ratings}))
    assert math.isnan(part.value)


def test_ranking_holds_each_letter_once():
    ranking = bundled("ranking")
    read = read_text(ranking, '{"explanation": "", "ranking": ["C", "A", "B"]}', n_answers=3)
    assert read.parts == {"C": 1, "A": 2, "B": 3}
    assert read_text(ranking, "So:\nC > A > B", n_answers=3) == read
    for text in ('{"ranking": ["C", "A"]}', '{"ranking": ["A", "A", "B"]}', "A > B > C > D"):
        assert math.isnan(read_text(ranking, text, n_answers=3).value)


def test_scores_on_the_first_line_or_as_a_pair(tmp_path: Path):
    path = tmp_path / "scores.yaml"
    path.write_text(
        "name: scores\nkind: pairwise\nform: scores\nscale: [0, 10]\n"
        "template: '{question} {answer_1} {answer_2}'\n"
    )
    prompt = load_protocol(str(path)).plain
    assert read_text(prompt, "7 9\nThe second is better.").value == 0.0
    assert read_text(prompt, "I solved it first.\n(8, 8)").value == 0.5
    assert read_text(prompt, "8, 7.5").parts == {"first": 8, "second": 7.5}
    assert math.isnan(read_text(prompt, "70 90").value)
    assert math.isnan(read_text(prompt, "In 1999 there were 3").value)


def test_first_token_probabilities_become_a_preference():
    prompt = bundled("logprobs")
    top = {"A": math.log(0.3), " A": math.log(0.1), "B": math.log(0.1), "C": math.log(0.4)}
    read = read_reply(prompt, [completion(logprobs=top)], n_answers=2)
    assert read.value == pytest.approx(0.8)
    alone = read_reply(prompt, [completion(logprobs={"B": -0.1})], n_answers=2)
    assert alone.value == 0.0
    for nothing in (completion("A"), completion(logprobs={"The": -0.1})):
        assert math.isnan(read_reply(prompt, [nothing], n_answers=2).value)


def test_label_likelihoods_become_the_same_preference():
    replies = [
        Loglikelihood(logprob=value, is_greedy=False, n_tokens=1)
        for value in (math.log(0.4) - 900, math.log(0.1) - 900)
    ]
    assert read_reply(bundled("logprobs"), replies, n_answers=2).value == pytest.approx(0.8)
    nothing = [Loglikelihood(logprob=math.nan, is_greedy=False, n_tokens=1)] * 2
    assert math.isnan(read_reply(bundled("logprobs"), nothing, n_answers=2).value)
