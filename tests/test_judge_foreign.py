"""Verdicts of published studies: read from the tools' own files, with the numbers published."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from evalcore.errors import InputError, VotesError
from evalcore.judges.bias.evidence import gather
from evalcore.judges.foreign import read_foreign
from evalcore.judges.foreign.alpaca_eval import logprob_preference
from evalcore.judges.foreign.importing import ORDERS_DISAGREE, import_verdicts
from evalcore.judges.foreign.totals import mark_totals
from evalcore.judges.parsing import two_marks
from evalcore.stats.length_control import baseline_win_rate
from evalcore.store import open_store


def vicuna(shared_data, other):
    return read_foreign("fastchat", shared_data / f"vicuna/review/review_{other}_vicuna-13b.jsonl")


@pytest.mark.parametrize(
    ("other", "totals", "better_or_equal"),
    [
        ("llama-13b", (513.0, 694.0), 77),
        ("alpaca-13b", (583.0, 704.0), 77),
        ("bard", (664.0, 655.5), 50),
        ("gpt35", (693.0, 638.0), 36),
    ],
)
def test_vicuna_totals_as_published(shared_data, other, totals, better_or_equal):
    """LMSYS blog of 30 March 2023, table 2, and "36 of 80"; nobody published an interval."""
    (found,) = mark_totals(vicuna(shared_data, other).verdicts)
    assert (found.total_a.value, found.total_b.value) == totals
    assert found.b_no_worse.value * 80 == pytest.approx(better_or_equal)
    for estimate in (found.total_a, found.total_b, found.b_no_worse):
        assert estimate.low < estimate.value < estimate.high
        assert estimate.n == 80


def test_vicuna_marks_are_in_the_texts_but_for_two(shared_data):
    """Three reviews a file don't begin with the marks; two of them were stored otherwise."""
    for other in ("llama-13b", "alpaca-13b", "bard", "gpt35"):
        differing = [
            (verdict.line, two_marks(verdict.text), verdict.marks)
            for verdict in vicuna(shared_data, other).verdicts
            if two_marks(verdict.text) != verdict.marks
        ]
        expected = [(70, (10.0, 4.0), (10.0, 2.0))] if other in ("llama-13b", "bard") else []
        assert differing == expected


def test_vicuna_warns_of_one_order(shared_data):
    assert any(
        "one order only: bard:20230327 was shown first" in warning and "80 verdicts" in warning
        for warning in vicuna(shared_data, "bard").warnings
    )


def test_alpaca_eval_preferences_follow_from_the_probabilities(shared_data):
    """All 5,624 rows that have them, in the order that the row tells; 11 rows have none."""
    path = shared_data / "alpaca_eval/ae2_full_rows.parquet"
    rows = pd.read_parquet(path)
    verdicts = read_foreign("alpaca_eval", path).verdicts
    n_checked = 0
    for verdict, logprobs in zip(verdicts, rows["judge_top_logprobs"], strict=True):
        if isinstance(logprobs, str):
            raw = logprob_preference(json.loads(logprobs))
            stored = 3.0 - raw if verdict.shown == "b_first" else raw
            assert 2.0 - verdict.score_a == pytest.approx(stored, abs=1e-9)
            n_checked += 1
    assert n_checked == 5624


def test_alpaca_eval_win_rates_equal_the_leaderboard(shared_data):
    leaderboard = pd.read_csv(shared_data / "alpaca_eval/leaderboard_ae2.csv", index_col=0)
    verdicts = read_foreign("alpaca_eval", shared_data / "alpaca_eval/ae2_full_rows.parquet")
    by_model = {}
    for verdict in verdicts.verdicts:
        by_model.setdefault(verdict.model_b, []).append(1.0 - verdict.score_a)
    published = [model for model in by_model if model in leaderboard.index]
    assert len(published) == 7
    for model in published:
        rate = baseline_win_rate(np.array(by_model[model]))
        assert 100 * rate.win_rate == pytest.approx(leaderboard.loc[model, "win_rate"], abs=1e-6)
        assert rate.n_wins == leaderboard.loc[model, "n_wins"]


def test_alpaca_eval_annotations_as_the_tool_writes_them(tmp_path):
    top = [{"token": "m", "logprob": math.log(0.8)}, {"token": "M", "logprob": math.log(0.2)}]
    row = {
        "instruction": "Name a colour.",
        "output_1": "Red.",
        "generator_1": "baseline",
        "output_2": "Blue.",
        "generator_2": "model",
        "annotator": "weighted_alpaca_eval_gpt4_turbo",
        "preference": 1.8,
        "raw_completion": {"logprobs": {"content": [{"token": "m", "top_logprobs": top}]}},
        "price_per_example": 0.01,
    }
    unread = {**row, "instruction": "Name a fruit.", "preference": None, "raw_completion": None}
    drawn = {**row, "instruction": "Name a tree.", "preference": 0, "raw_completion": None}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([row, unread, drawn]))
    first, second, third = read_foreign("alpaca_eval", path).verdicts
    assert third.winner == "tie"
    assert (first.shown, first.winner, first.cost_usd) == ("b_first", "model_b", 0.01)
    assert (second.shown, second.winner) == ("unknown", None)


def test_probabilities_that_contradict_the_preference_are_told(tmp_path):
    row = {"instruction": "Hi", "generator_1": "a", "generator_2": "b", "preference": 1.1}
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([{**row, "judge_top_logprobs": {"m": -0.1, "M": -3.0}}]))
    assert "stored otherwise" in read_foreign("alpaca_eval", path).warnings[0]


def test_mt_bench_orders_that_disagree_are_counted(shared_data):
    """188 of 1,200 verdicts of turn 1."""
    foreign = read_foreign("fastchat", shared_data / "mtbench_human/gpt4_pair.jsonl")
    assert sum(verdict.orders_disagree for verdict in foreign.verdicts) == 188
    assert "188 of 1200 verdicts in both orders disagree (15.7 %)" in foreign.warnings[0]


def test_pandalm_accuracy_as_published_needs_garbage_as_ties(shared_data):
    """GPT-3.5: 71.07 %, macro F1 57.55; 69.77 % if what can't be read counts as wrong."""
    folder = shared_data / "pandalm"
    people = read_foreign("pandalm", folder / "testset-v1.json").verdicts
    scores = np.array([verdict.score_a for verdict in people]).reshape(-1, 3)
    majority = np.median(scores, axis=1)
    foreign = read_foreign("pandalm", folder / "gpt-3.5-turbo-testset-v1.json")
    judge = np.array([verdict.score_a for verdict in foreign.verdicts])
    assert foreign.n_unscored == 25
    assert 100 * np.mean(judge == majority) == pytest.approx(69.77, abs=0.005)
    as_ties = np.where(np.isnan(judge), 0.5, judge)
    assert 100 * np.mean(as_ties == majority) == pytest.approx(71.07, abs=0.005)
    f1 = [
        2
        * np.sum((as_ties == k) & (majority == k))
        / (np.sum(as_ties == k) + np.sum(majority == k))
        for k in (0.0, 0.5, 1.0)
    ]
    assert 100 * np.mean(f1) == pytest.approx(57.55, abs=0.005)


def test_games_in_both_orders_become_one_comparison(tmp_path):
    game = {"question_id": 81, "model_1": "x", "model_2": "y", "judge": ["gpt-4", "pair-v2"]}
    winners = [("model_1", "model_1"), ("model_1", "model_2"), ("tie", "error")]
    lines = [
        json.dumps({**game, "question_id": number, "g1_winner": first, "g2_winner": second})
        for number, (first, second) in enumerate(winners)
    ]
    path = tmp_path / "gpt-4_pair.jsonl"
    path.write_text("\n".join(lines))
    foreign = read_foreign("fastchat", path)
    with open_store(tmp_path / "out") as store:
        imported = import_verdicts(foreign, store)
        found = {item.example_id: item for item in store.comparisons()}
        orders = [verdict.swapped for verdict in store.verdicts()]
    assert (imported.n_verdicts, imported.n_comparisons, imported.n_unscored) == (6, 2, 1)
    assert found["0"].winner == "model_a"
    assert (found["1"].winner, found["1"].explanation) == ("tie", ORDERS_DISAGREE)
    assert sorted(orders) == [False] * 3 + [True] * 3


def test_preferences_in_an_unknown_order_are_kept_but_say_nothing_of_the_place(tmp_path):
    rows = [
        {"instruction": f"Question {k}?", "generator_1": "x", "generator_2": "y"}
        | {"preference": 1.25}
        for k in range(8)
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(rows))
    with open_store(tmp_path / "out") as store:
        import_verdicts(read_foreign("alpaca_eval", path), store)
        pairs = gather(store, "weighted_alpaca_eval_gpt4_turbo").pairs
    assert pairs.score.tolist() == [0.75] * 8
    assert not pairs.place.any()


def test_a_file_taken_over_twice_changes_nothing(shared_data, tmp_path):
    foreign = vicuna(shared_data, "bard")
    with open_store(tmp_path) as store:
        import_verdicts(foreign, store)
        before = {item.id for item in store.comparisons()}
        import_verdicts(foreign, store)
        assert {item.id for item in store.comparisons()} == before
        assert len(before) == 80


def test_answers_of_a_foreign_file_can_be_judged_again(shared_data, tmp_path):
    foreign = vicuna(shared_data, "gpt35")
    with open_store(tmp_path) as store:
        import_verdicts(foreign, store)
        models = {spec.name: fingerprint for fingerprint, spec in store.models().items()}
        ids = [verdict.example.id for verdict in foreign.verdicts]
        answers = store.conversations(models["gpt-3.5-turbo:20230327"], ids)
    assert answers[ids[0]][0].text == foreign.verdicts[0].answer_a


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("8 9.5\nGood.", (8.0, 9.5)),
        ("(7, 8)\nGood.", (7.0, 8.0)),
        ("8, 9\nGood.", (8.0, 9.0)),
        ("First, I solve it.\nScores:\nAssistant 1: 1/10\nAssistant 2: 2/10\nBoth.", (1.0, 2.0)),
        ("The points (2, 4) and (1, 3) ... the scores are (1, 5) for both.", (1.0, 5.0)),
        ("The points are (2, 4).", None),
        ("", None),
    ],
)
def test_marks_are_found_where_they_are(text, marks):
    assert two_marks(text) == marks


@pytest.mark.parametrize(
    ("form", "name", "content", "message"),
    [
        ("alpaca", "a.json", "[]", "--reuse-from must be one of alpaca_eval, fastchat, pandalm"),
        ("fastchat", "a.jsonl", "", "holds no verdicts"),
        ("fastchat", "a.jsonl", '{"winner": "x"}', "line 1: needs the fields"),
        ("alpaca_eval", "a.json", "{}", "must be a list"),
        ("alpaca_eval", "a.json", '[{"preference": 1}]', "row 1: needs the fields instruction"),
        ("alpaca_eval", "a.json", "[3]", "row 1: must be a JSON object; got int"),
        ("alpaca_eval", "a.json", "not", "not JSON"),
    ],
)
def test_files_that_are_something_else_are_refused(tmp_path, form, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(VotesError, match=message):
        read_foreign(form, path)


def test_unknown_winner_is_never_a_tie(tmp_path):
    path = tmp_path / "votes.jsonl"
    row = {"judge": "gpt4_pair", "model_a": "x", "model_b": "y", "question_id": 1, "winner": "A"}
    path.write_text(json.dumps(row))
    with pytest.raises(InputError, match=r"line 1: winner must be one of .*; got 'A'"):
        read_foreign("fastchat", path)
