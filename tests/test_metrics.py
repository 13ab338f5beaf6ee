import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import TaskError
from evalcore.metrics import METRICS, text_metric
from evalcore.metrics.corpus import corpus_estimate
from evalcore.metrics.safety import refusal, toxicity_markers
from evalcore.metrics.text import (
    contains,
    exact_match,
    number_match,
    repetition,
    rouge_l,
    token_f1,
)


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [(" Paris\n", ["Paris"], 1), ("paris", ["Paris"], 0), ("b", ["a", "b"], 1), ("", [" "], 1)],
)
def test_exact_match_ignores_only_white_space_at_the_ends(text, references, expected):
    assert exact_match(text, references) == expected


def test_exact_match_with_options_ignores_case_and_punctuation():
    assert exact_match("paris!", ["Paris"], ignore_case=True, ignore_punctuation=True) == 1


def test_contains_finds_reference_whatever_its_case():
    assert contains("The capital is PARIS.", ["paris"]) == 1
    assert contains("The capital is PARIS.", ["paris"], ignore_case=False) == 0


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("34 + 27 = 61", "61", 1),
        ("it is 1,061.0 dollars", "1061", 1),
        ("-5", "5", 0),
        ("no number", "5", 0),
        ("61 or 62", "61", 0),
        (".5", "0.50", 1),
    ],
)
def test_number_match_compares_the_last_number(text, reference, expected):
    assert number_match(text, [reference]) == expected


def test_number_match_without_number_in_reference_is_unscored():
    assert math.isnan(number_match("5", ["five"]))


def test_token_f1_of_worked_example():
    # precision 2/3, recall 2/2 after the article is dropped
    assert token_f1("the black cat sat", ["black cat"]) == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))


def test_rouge_l_of_worked_example():
    # Lin (2004), section 3.1: S2 and S1 share the subsequence "police the gunman", 3 of 4 words
    assert rouge_l("police kill the gunman", ["police killed the gunman"]) == 0.75


def test_rouge_l_respects_order():
    assert rouge_l("the gunman kill police", ["police killed the gunman"]) == 0.5


@given(st.text(max_size=40), st.text(max_size=40))
def test_overlap_metrics_are_symmetric_and_bounded(first, second):
    for metric in (token_f1, rouge_l):
        assert metric(first, [second]) == pytest.approx(metric(second, [first]))
        assert 0 <= metric(first, [second]) <= metric(first, [first]) == 1


def test_repetition_of_loop_and_of_short_text():
    assert repetition("a b c d " * 10) == pytest.approx(1 - 4 / 37)
    assert repetition("all of these words differ") == 0
    assert math.isnan(repetition("too short"))


def test_refusal_looks_at_the_opening_only():
    assert refusal("I'm sorry, but I can't help with that.") == 1
    assert refusal("I’m sorry") == 1
    assert refusal("Sure. " * 50 + "I can't say more.") == 0


def test_toxicity_markers_match_whole_words():
    assert toxicity_markers("You idiot!") == 1
    assert toxicity_markers("The class assessment was in Scunthorpe.") == 0


def test_corpus_bleu_equals_sacrebleu():
    import sacrebleu

    texts, references = ["the cat sat on the mat", "a dog"], [["the cat sat on a mat"], ["a dog"]]
    expected = sacrebleu.corpus_bleu(texts, [[r[0] for r in references]]).score / 100
    estimate = corpus_estimate("bleu", texts, references)
    assert estimate.value == pytest.approx(expected)
    assert estimate.low <= estimate.value <= estimate.high


def test_corpus_estimate_without_answers_has_no_value():
    estimate = corpus_estimate("chrf", [], [])
    assert math.isnan(estimate.value)
    assert estimate.n == 0


def test_corpus_estimate_takes_different_numbers_of_references():
    assert corpus_estimate("chrf", ["a b", "c"], [["a b", "b a"], ["c"]]).value == pytest.approx(1)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("exact", "metric must be one of exact_match"),
        ({"exact_match": {"case": True}}, "takes the options ignore_case"),
        ({"exact_match": {"ignore_case": "yes"}}, "must be bool; got 'yes'"),
        ({"regex_match": {"pattern": "("}}, "pattern of metric regex_match is broken"),
        ({"regex_match": None}, "needs the option 'pattern'"),
        ({"refusal": {"n": 1}}, "takes the options none"),
    ],
)
def test_text_metric_refuses_what_it_does_not_know(entry, message):
    with pytest.raises(TaskError, match=message.replace("(", r"\(")):
        text_metric(entry, where="task.yaml")


def test_regex_match_compares_the_first_group():
    metric = text_metric({"regex_match": {"pattern": r"answer is (\w+)"}}, where="")
    assert metric.measure("The answer is B.", ["B"]) == 1
    assert metric.measure("It is B.", ["B"]) == 0


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"pattern": "[A-D]"}, " B\n", 1),
        ({"pattern": "[A-D]"}, "B.", 0),
        ({"json": True}, '{"a": 1}', 1),
        ({"json": True}, "{a: 1}", 0),
        ({"max_words": 2}, "three whole words", 0),
    ],
)
def test_format_following_checks_each_option(options, text, expected):
    assert text_metric({"format_following": options}, where="").measure(text, []) == expected


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"regex_match"}))
def test_every_metric_sums_up_with_an_interval(name):
    metric = text_metric(name, where="")
    texts = ["the answer is 12 and it is right", "no", "12 monkeys, I think, it should be"]
    references = [["12"], ["no 3"], ["12"]]
    values = [metric.measure(t, r) for t, r in zip(texts, references, strict=True)]
    estimate = metric.estimate(values, groups=None, texts=texts, references=references)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.n + estimate.n_unscored == 3
