import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from evalcore.stats.intervals import proportion_estimate
from evalcore.stats.paired import stratified_difference
from evalcore.store import Store, open_store
from leaderboards.markdown import leaderboard_markdown
from leaderboards.request import BoardRequest
from leaderboards.standings import standings

GOOD = [1.0] * 70 + [0.0] * 30
MIDDLING = [1.0] * 40 + [0.0] * 60
POOR = [1.0] * 10 + [0.0] * 90


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "out") as store:
        yield store


def model(name: str, weights: str = "") -> ModelSpec:
    return ModelSpec(name=name, backend="fake", weights=weights or name)


def names(board) -> list[str]:
    return [standing.model.name for standing in board.standings]


def test_standings_of_empty_workspace_say_which_command_to_run(store):
    with pytest.raises(InputError, match="parity eval -m MODEL -t TASK"):
        standings(store)


def test_standings_of_one_model_rank_it_first_without_pairs(store, add_results):
    add_results(store, model("a"), "sums", GOOD)
    board = standings(store)
    (standing,) = board.standings
    assert (standing.rank, standing.rank_low, standing.rank_high) == (1, 1, 1)
    assert (standing.tie_group, list(board.pairs)) == ("a", [])


def test_standings_on_one_task_rate_by_its_own_interval(store, add_results):
    add_results(store, model("a"), "sums", GOOD)
    assert standings(store).standings[0].rating == proportion_estimate(GOOD)


def test_standings_on_one_task_use_mcnemar_exactly(store, add_results):
    add_results(store, model("a"), "sums", [1.0] * 9 + [0.0] * 11)
    add_results(store, model("b"), "sums", [1.0] * 2 + [0.0] * 17 + [1.0])
    (pair,) = standings(store).pairs
    assert pair.paired.test == "McNemar, exact"
    assert pair.paired.p_value == pytest.approx(stats.binomtest(1, 8).pvalue)


def test_standings_are_ordered_with_ranks_that_the_data_do_not_rule_out(store, add_results):
    near_good = [0.0, *GOOD[1:]]
    for name, values in {"p": POOR, "g": GOOD, "n": near_good, "m": MIDDLING}.items():
        add_results(store, model(name), "sums", values)
    board = standings(store)
    assert names(board) == ["g", "n", "m", "p"]
    assert [(s.rank, s.rank_low, s.rank_high) for s in board.standings] == [
        (1, 1, 2),
        (2, 1, 2),
        (3, 3, 3),
        (4, 4, 4),
    ]
    assert [s.tie_group for s in board.standings] == ["a", "a", "b", "c"]


def test_holm_makes_a_difference_that_is_significant_alone_insignificant_among_many(
    store, add_results
):
    base = [1.0] * 50 + [0.0] * 50
    add_results(store, model("base"), "sums", base)
    add_results(store, model("up"), "sums", [1.0] * 57 + [0.0] * 43)
    assert [p.significant for p in standings(store).pairs] == [True]
    for place in range(5):
        same = list(np.roll(base, place + 1))
        add_results(store, model(f"other{place}"), "sums", same)
    board = standings(store)
    up = next(s.model.fingerprint for s in board.standings if s.model.name == "up")
    pair = board.pair(up, model("base").fingerprint)
    assert pair.paired.p_value == pytest.approx(2 * 0.5**7)
    assert not pair.significant


def test_models_with_the_same_rating_share_a_rank(store, add_results):
    for name in "ab":
        add_results(store, model(name), "sums", GOOD)
    add_results(store, model("c"), "sums", POOR)
    assert [s.rank for s in standings(store).standings] == [1, 1, 3]


def test_rating_over_tasks_is_their_mean_and_its_interval_is_stratified(store, add_results):
    add_results(store, model("a"), "sums", GOOD)
    add_results(store, model("a"), "lists", POOR[:50])
    rating = standings(store).standings[0].rating
    expected = stratified_difference(
        [(POOR[:50], [0.0] * 50, None), (GOOD, [0.0] * 100, None)]
    ).difference
    assert rating.value == pytest.approx((0.7 + 0.2) / 2)
    assert (rating.low, rating.high) == pytest.approx((expected.low, expected.high))
    assert rating.n == 150


def test_pairs_over_tasks_come_from_the_stratified_test(store, add_results):
    answers = {"sums": (GOOD, MIDDLING), "lists": (POOR, GOOD)}
    for task, (a, b) in answers.items():
        add_results(store, model("a"), task, a)
        add_results(store, model("b"), task, b)
    (pair,) = standings(store).pairs
    strata = [(*answers[task], None) for task in ("lists", "sums")]
    expected = stratified_difference(strata)
    assert pair.paired == replace(expected, p_value=pytest.approx(expected.p_value, rel=1e-12))


def test_perplexity_is_shown_but_not_averaged(store, add_results):
    for name, share, nats in (("a", GOOD, 1.5), ("b", POOR, 1.2)):
        add_results(store, model(name), "sums", share)
        add_results(
            store,
            model(name),
            "text",
            [nats, nats + 0.1],
            metric="byte_perplexity",
            higher_is_better=False,
        )
    board = standings(store)
    assert [column.task for column in board.columns if column.in_rating] == ["sums"]
    assert board.standings[0].rating.value == 0.7
    assert "shown but not averaged into the rating: text/byte_perplexity" in board.warnings


def test_single_task_where_less_is_better_ranks_the_least_first(store, add_results):
    for name, nats in (("a", 1.5), ("b", 1.2)):
        add_results(store, model(name), "text", [nats] * 20, metric="loss", higher_is_better=False)
    board = standings(store)
    assert names(board) == ["b", "a"]
    assert [s.rank_high for s in board.standings] == [1, 2]
    assert board.columns[0].tie_groups[board.standings[0].model.fingerprint] == "a"


def test_several_tasks_without_a_share_rank_nobody_and_say_so(store, add_results):
    for task in ("text", "code"):
        add_results(store, model("a"), task, [3.0, 4.0], metric="loss", higher_is_better=False)
    board = standings(store)
    assert [s.rank for s in board.standings] == [None]
    assert any("choose one task to rank by it" in warning for warning in board.warnings)


def test_model_without_a_needed_task_has_no_rank_and_comes_last(store, add_results):
    add_results(store, model("a"), "sums", GOOD)
    add_results(store, model("b"), "sums", POOR)
    add_results(store, model("b"), "lists", POOR)
    board = standings(store)
    assert [(s.model.name, s.rank) for s in board.standings] == [("b", 1), ("a", None)]
    assert math.isnan(board.standings[1].rating.value)
    assert "a has no rank: no result on lists" in board.warnings


def test_task_versions_never_mix_and_the_one_of_most_models_is_taken(store, add_results):
    for name in "abc":
        add_results(store, model(name), "sums", MIDDLING)
    late = {"version": 2, "created_utc": "2026-02-01T00:00:00Z"}
    add_results(store, model("d"), "sums", GOOD, **late)
    board = standings(store)
    assert sorted(board.columns[0].runs) == sorted(model(name).fingerprint for name in "abc")
    assert names(board)[-1] == "d"
    assert any("other versions of the task" in text for text in board.warnings)


def test_newest_of_versions_that_equally_many_models_have_is_taken(store, add_results):
    for version, values in ((2, POOR), (1, GOOD)):
        late = {"version": version, "created_utc": f"2026-02-0{version}T00:00:00Z"}
        add_results(store, model("a"), "sums", values, **late)
    board = standings(store)
    assert board.standings[0].rating.value == 0.1
    assert board.warnings == ()


def test_quick_run_with_a_limit_does_not_replace_the_full_one(store, add_results):
    for name in "ab":
        add_results(store, model(name), "sums", GOOD)
    add_results(store, model("a"), "sums", GOOD[:5], created_utc="2026-03-01T00:00:00Z")
    board = standings(store)
    assert board.columns[0].n_examples == 100
    assert [s.rank for s in board.standings] == [1, 1]
    assert any("newer version" in warning for warning in board.warnings)


def test_models_of_one_name_stay_distinguishable(store, add_results):
    for weights in ("w1", "w2"):
        add_results(store, model("m", weights), "sums", GOOD)
    board = standings(store)
    assert len(set(names(board))) == 2
    assert all(s.model.name == f"m #{s.model.fingerprint[:6]}" for s in board.standings)


def test_half_precision_is_told_in_the_name_unless_the_name_says_it(store, add_results):
    whole, half = (replace(model("m"), dtype=dtype) for dtype in ("float32", "bfloat16"))
    add_results(store, whole, "sums", GOOD)
    add_results(store, half, "sums", MIDDLING)
    add_results(store, replace(model("other-bf16"), dtype="bfloat16"), "sums", POOR)
    board = standings(store)
    assert names(board) == ["m", "m (bf16)", "other-bf16"]
    assert "m (bf16)" in leaderboard_markdown(board)
    found = [standings(store, BoardRequest(reference=name)).reference for name in names(board)[:2]]
    assert found == [whole.fingerprint, half.fingerprint]


def test_unscored_examples_are_counted_in_a_warning(store, add_results):
    add_results(store, model("a"), "sums", [1.0, 0.0, math.nan, 1.0])
    assert "a, sums: 1 of 4 examples could not be scored and are left out" in (
        standings(store).warnings
    )


def test_tasks_and_models_can_be_chosen(store, add_results):
    for name in "abc":
        for task in ("sums", "lists"):
            add_results(store, model(name), task, GOOD)
    fingerprint = model("c").fingerprint
    board = standings(store, tasks=["sums"], models=["a", fingerprint[:8]])
    assert (names(board), [c.task for c in board.columns]) == (["a", "c"], ["sums"])


@pytest.mark.parametrize("wrong", [{"tasks": ["x"]}, {"models": ["x"]}])
def test_unknown_task_or_model_is_refused_with_those_permitted(store, add_results, wrong):
    add_results(store, model("a"), "sums", GOOD)
    with pytest.raises(InputError, match=r"must be one that was evaluated, (sums|a); got 'x'"):
        standings(store, **wrong)


def test_examples_in_groups_are_compared_by_group(store, add_results):
    groups = [f"g{place // 10}" for place in range(100)]
    for name, values in (("a", GOOD), ("b", POOR)):
        add_results(store, model(name), "sums", values, groups=groups)
    (pair,) = standings(store).pairs
    assert pair.paired.test == "sign flip by group"
    assert pair.paired.p_value == pytest.approx(2 * 0.5**6)


def test_standings_do_not_depend_on_the_order_of_the_models(tmp_path, add_results):
    values = {"a": GOOD, "b": MIDDLING, "c": POOR}
    boards = []
    for order in ("abc", "cba"):
        with open_store(tmp_path / order) as store:
            for name in order:
                add_results(store, model(name), "sums", values[name])
                add_results(store, model(name), "lists", values[name][::-1])
            boards.append(standings(store))
    assert boards[0].standings == boards[1].standings
