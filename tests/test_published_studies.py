"""Numbers of published studies, recomputed from their data."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from evalcore.stats.agreement import (
    cohen_kappa,
    raw_agreement,
)
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.labels import Labels, pair_labels
from evalcore.stats.length_control import (
    LengthData,
    baseline_win_rate,
    length_controlled_win_rate,
)
from evalcore.stats.paired import paired_difference, sign_test
from evalcore.stats.win_rate import PairVotes, win_rate
from evalcore.votes import Votes


def jsonl(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def vicuna_scores(shared_data, other):
    rows = jsonl(shared_data / f"vicuna/review/review_{other}_vicuna-13b.jsonl")
    return np.array([row["score"] for row in rows], dtype=float).T


@pytest.mark.parametrize(
    ("other", "totals", "outcomes"),
    [
        ("llama-13b", (513.0, 694.0), (77, 0, 3)),
        ("alpaca-13b", (583.0, 704.0), (76, 1, 3)),
        ("bard", (664.0, 655.5), (40, 10, 30)),
        ("gpt35", (693.0, 638.0), (14, 22, 44)),
    ],
)
def test_vicuna_totals_and_outcomes(shared_data, other, totals, outcomes):
    """LMSYS blog of 30 March 2023, table 2; "92 % of ChatGPT" and "better or equal in 45 %"."""
    baseline, vicuna = vicuna_scores(shared_data, other)
    assert (baseline.sum(), vicuna.sum()) == totals
    difference = paired_difference(vicuna, baseline)
    assert (difference.wins, difference.ties, difference.losses) == outcomes


def test_vicuna_against_chatgpt_is_no_parity(shared_data):
    """The blog's ratio .92 and 36 of 80; interval [.878, .958] and difference -.6875 ± .180."""
    chatgpt, vicuna = vicuna_scores(shared_data, "gpt35")
    assert sign_test(vicuna - chatgpt) == pytest.approx(1e-4, abs=1e-5)
    assert np.sum(vicuna >= chatgpt) == 36
    ratio = mean_estimate(vicuna / chatgpt, weights=chatgpt)
    assert ratio.value == pytest.approx(0.9206, abs=1e-4)
    assert (ratio.low, ratio.high) == pytest.approx((0.878, 0.958), abs=0.008)
    difference = paired_difference(vicuna, chatgpt).difference
    assert difference.value == -0.6875
    assert (difference.high - difference.low) / 2 == pytest.approx(1.99 * 0.180, rel=0.05)


@pytest.fixture(scope="module")
def mt_bench(shared_data):
    """Labels of human and GPT-4 judges of turn 1."""
    folder = shared_data / "mtbench_human"
    rows = jsonl(folder / "human.jsonl") + jsonl(folder / "gpt4_pair.jsonl")
    votes = Votes.from_columns(
        {
            "model_a": [row["model_a"] for row in rows],
            "model_b": [row["model_b"] for row in rows],
            "winner": ["tie" if "tie" in row["winner"] else row["winner"] for row in rows],
            "rater": [row["judge"] for row in rows],
            "example_id": [str(row["question_id"]) for row in rows],
        }
    )
    ratings = Labels.from_votes(votes)
    raters = sorted(set(ratings.raters.tolist()))
    experts = [rater for rater in raters if rater.startswith("expert")]
    return ratings, experts, [rater for rater in raters if rater.startswith("author")]


@pytest.mark.parametrize(
    ("groups", "all_votes", "decided"),
    [
        (("expert", "gpt4"), (886, 1343), (727, 859)),
        (("expert", "expert"), (454, 721), (388, 479)),
        (("expert", "author"), (280, 428), (218, 262)),
    ],
)
def test_mt_bench_agreement(mt_bench, groups, all_votes, decided):
    """Zheng et al. (2306.05685), table 5, turn 1: 66 % and 85 % with GPT-4, 63 % and 81 % without.

    Decided pairs are those in which neither vote is a tie (setup S2).
    """
    ratings, experts, authors = mt_bench
    second = {"gpt4": ["gpt4_pair"], "expert": None, "author": authors}[groups[1]]
    first, other, _ = pair_labels(ratings, experts, second)
    both = (first != "tie") & (other != "tie")
    assert (np.sum(first == other), len(first)) == all_votes
    assert (np.sum((first == other) & both), both.sum()) == decided


def test_mt_bench_kappa_once_names_of_models_do_not_count(mt_bench):
    """Turn 1 against GPT-4: symmetric kappa .491 of all and .719 of decided pairs."""
    ratings, experts, authors = mt_bench
    human, judge, units = pair_labels(ratings, experts + authors, ["gpt4_pair"])
    both = (human != "tie") & (judge != "tie")
    everything = cohen_kappa(human, judge, symmetric=True, groups=units)
    assert everything.value == pytest.approx(0.491, abs=1e-3)
    assert raw_agreement(human, judge, groups=units).value == pytest.approx(0.666, abs=1e-3)
    decided = cohen_kappa(human[both], judge[both], symmetric=True)
    assert decided.value == pytest.approx(0.719, abs=1e-3)


@pytest.fixture(scope="module")
def pandalm(shared_data):
    """The three annotators' labels (0 tie, 1 first, 2 second), their majority and the judge's."""
    rows = json.loads((shared_data / "pandalm/testset-v1.json").read_text())
    verdicts = json.loads((shared_data / "pandalm/gpt-3.5-turbo-testset-v1.json").read_text())
    labels = np.array([[row[f"annotator{k}"] for row in rows] for k in (1, 2, 3)])
    majority = np.array([np.bincount(column, minlength=3).argmax() for column in labels.T])
    judge = {row["idx"]: {"1": 1, "2": 2}.get(str(row["gpt_result"]), 0) for row in verdicts}
    return labels, majority, np.array([judge[row["idx"]] for row in rows]), rows


def test_pandalm_kappas(pandalm):
    """PandaLM README: .85, .88 and .86 between annotators 1-2, 1-3 and 2-3."""
    labels = pandalm[0]
    kappas = [cohen_kappa(labels[i], labels[j]).value for i, j in ((0, 1), (0, 2), (1, 2))]
    assert kappas == pytest.approx([0.852, 0.879, 0.862], abs=1e-3)
    assert np.bincount(pandalm[1]).tolist() == [105, 422, 472]


def test_pandalm_judge_accuracy_with_garbage_as_ties(pandalm):
    """PandaLM, GPT-3.5: accuracy 71.07, macro precision, recall and F1 58.79, 57.36, 57.55."""
    _, majority, judge, _ = pandalm
    assert 100 * raw_agreement(judge, majority).value == pytest.approx(71.07, abs=0.005)
    hits = np.array([np.sum((judge == k) & (majority == k)) for k in range(3)])
    precision, recall = hits / np.bincount(judge), hits / np.bincount(majority)
    f1 = 2 * precision * recall / (precision + recall)
    macro = [100 * values.mean() for values in (precision, recall, f1)]
    assert macro == pytest.approx([58.79, 57.36, 57.55], abs=0.005)


def test_pandalm_llama_against_bloom(pandalm):
    """PandaLM README: 72 wins, 28 losses, 11 ties; a win rate significantly above one half."""
    _, majority, _, rows = pandalm
    chosen = [k for k, row in enumerate(rows) if row["cmp_key"] == "bloom-7b_llama-7b"]
    turned = [k for k, row in enumerate(rows) if row["cmp_key"] == "llama-7b_bloom-7b"]
    scores = np.concatenate(
        [
            np.array([0.5, 0.0, 1.0])[majority[chosen]],
            np.array([0.5, 1.0, 0.0])[majority[turned]],
        ]
    )
    result = win_rate(PairVotes(scores=scores))
    assert (result.wins, result.losses, result.ties) == (72, 28, 11)
    assert result.estimate.low > 0.5


@pytest.fixture(scope="module")
def alpaca_eval(shared_data):
    """Preferences by model, the leaderboard, difficulties, and rows that regularise."""
    folder = shared_data / "alpaca_eval"
    preferences = pd.read_parquet(folder / "ae2_preferences.parquet").sort_values("example")
    leaderboard = pd.read_csv(folder / "leaderboard_ae2.csv", index_col=0)
    table = pd.read_csv(folder / "instruction_difficulty_recovered.csv")
    difficulty = table.set_index("example")["instruction_difficulty"]
    gamed = pd.read_csv(folder / "gamed_baseline_expected_preferences.csv.gz")
    regularisation = LengthData(
        preferences=gamed["pref_expected_from_weights"].to_numpy(),
        tanh_length=gamed["tanh_std_delta_len"].to_numpy(),
        difficulty=difficulty.loc[gamed["example"]].to_numpy(),
        weight=0.1,
    )
    return dict(list(preferences.groupby("model"))), leaderboard, difficulty, regularisation


def win_probabilities(rows):
    """AlpacaEval stores 1 for a loss, 2 for a win and 0 or 1.5 for a draw."""
    stored = rows["preference"].to_numpy()
    return np.where(stored == 0, 1.5, stored) - 1.0


def test_alpaca_eval_win_rates_are_exact(alpaca_eval):
    """AlpacaEval 2 leaderboard: 33 of 33 models."""
    models, leaderboard, _, _ = alpaca_eval
    assert len(models) == 33
    for model, rows in models.items():
        summary, published = baseline_win_rate(win_probabilities(rows)), leaderboard.loc[model]
        for name in ("win_rate", "standard_error", "discrete_win_rate"):
            assert 100 * getattr(summary, name) == pytest.approx(published[name], abs=1e-6)
        for name in ("n_wins", "n_wins_base", "n_draws", "n_total"):
            assert getattr(summary, name) == published[name]


def test_alpaca_eval_length_controlled_win_rates(alpaca_eval):
    """AlpacaEval 2 leaderboard, length controlled: within .2 points where all rows are there."""
    models, leaderboard, difficulty, regularisation = alpaca_eval
    complete = {model: rows for model, rows in models.items() if len(rows) == 805}
    assert len(complete) == 29
    for model, rows in complete.items():
        data = LengthData.from_lengths(
            win_probabilities(rows),
            rows["len_model"].to_numpy(),
            rows["len_baseline"].to_numpy(),
            difficulty=difficulty.loc[rows["example"]].to_numpy(),
        )
        fit = length_controlled_win_rate(data, regularisation=regularisation)
        published = leaderboard.loc[model]
        rate = published["length_controlled_winrate"]
        assert 100 * fit.estimate.value == pytest.approx(rate, abs=0.2)
        assert fit.estimate.low < rate / 100 < fit.estimate.high
        if not math.isnan(published["lc_standard_error"]) and model != "gpt4_1106_preview":
            error = published["lc_standard_error"]
            assert 100 * fit.published_standard_error == pytest.approx(error, abs=0.003)
