import dataclasses

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalcore.errors import InputError
from evalcore.stats.counts import count_votes
from evalcore.stats.elo import online_elo
from evalcore.stats.ratings import RatingOptions, rate_counts, rate_votes
from evalcore.votes import Votes

OUTCOMES = {
    "model_a": evalica.Winner.X,
    "model_b": evalica.Winner.Y,
    "tie": evalica.Winner.Draw,
    "both_bad": evalica.Winner.Draw,
}
Rows = list[tuple[str, str, str]]


def make_votes(rows: Rows, **columns: list) -> Votes:
    model_a, model_b, winner = zip(*rows, strict=True)
    return Votes.from_columns({"model_a": model_a, "model_b": model_b, "winner": winner, **columns})


@st.composite
def connected_rows(draw) -> Rows:
    """Votes in which a ring of wins joins all models both ways."""
    names = [f"m{i}" for i in range(draw(st.integers(2, 6)))]
    ring = [(a, b, "model_a") for a, b in zip(names, names[1:] + names[:1], strict=True)]
    pair = st.permutations(names).map(lambda p: (p[0], p[1]))
    more = st.lists(st.tuples(pair, st.sampled_from([*OUTCOMES])), max_size=60)
    return ring + [(*p, w) for p, w in draw(more)]


def gaps(ratings: np.ndarray) -> np.ndarray:
    return ratings - ratings.mean()


def test_llmfao_ratings_equal_the_published_ones(shared_data):
    """evalica's golden scores of the crowd votes of llmfao.dustalov.com."""
    folder = shared_data / "llmfao"
    table = pd.read_csv(folder / "llmfao_crowd_comparisons.csv")
    winner = table["winner"].map({"left": "model_a", "right": "model_b", "tie": "tie"})
    votes = Votes.from_columns(
        {"model_a": table["left"], "model_b": table["right"], "winner": winner}
    )
    golden = pd.read_csv(folder / "llmfao-golden.csv").query("algorithm == 'bradley_terry'")
    expected = golden.set_index("item")["score"][list(votes.models)]
    odds = 10 ** ((rate_votes(votes).ratings - 1000) / 400)
    np.testing.assert_allclose(odds / odds.sum(), expected, rtol=0, atol=1e-9)


def test_mt_bench_spread_equals_the_measured_one(shared_data):
    """409 points between best and worst by the 65 human judges of MT-bench, turn 1."""
    from evalcore.votes import read_votes

    result = rate_votes(read_votes(shared_data / "mtbench_human" / "human.jsonl"))
    assert np.ptp(result.ratings) == pytest.approx(409, abs=1)


@settings(deadline=None)
@given(connected_rows())
def test_ratings_equal_evalica(rows):
    result = rate_votes(make_votes(rows))
    a, b, winners = zip(*((a, b, OUTCOMES[w]) for a, b, w in rows), strict=True)
    theirs = evalica.bradley_terry(a, b, winners, tolerance=1e-12, limit=100_000).scores
    expected = 400 * np.log10(theirs[list(result.models)].to_numpy())
    np.testing.assert_allclose(gaps(result.ratings), gaps(expected), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_davidson_equals_newman(seed):
    """Newman's model of ties is Davidson's with ν = 2v; evalica needs tables of some size."""
    rng = np.random.default_rng(seed)
    strengths = rng.normal(0, 0.8, 6)
    pairs = rng.permuted(np.tile(np.arange(6), (1500, 1)), axis=1)[:, :2]
    noise = rng.logistic(size=1500) + strengths[pairs[:, 0]] - strengths[pairs[:, 1]]
    winners = np.select([noise > 0.4, noise < -0.4], ["model_a", "model_b"], "tie")
    rows = [(f"m{a}", f"m{b}", str(w)) for (a, b), w in zip(pairs, winners, strict=True)]
    result = rate_votes(make_votes(rows), RatingOptions(ties="davidson"))
    a, b, winners = zip(*((a, b, OUTCOMES[w]) for a, b, w in rows), strict=True)
    theirs = evalica.newman(a, b, winners, tolerance=1e-12, limit=100_000)
    expected = 400 * np.log10(theirs.scores[list(result.models)].to_numpy())
    np.testing.assert_allclose(gaps(result.ratings), gaps(expected), atol=1e-6)
    assert result.nu == pytest.approx(2 * theirs.v, rel=1e-6)


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_davidson_fits_two_models_exactly(wins, losses, ties):
    """Three outcomes and two parameters: odds are wins to losses, ν is ties / √(wins · losses)."""
    outcomes = [("model_a", wins), ("model_b", losses), ("tie", ties)]
    rows = [("x", "y", w) for w, n in outcomes for _ in range(n)]
    result = rate_votes(make_votes(rows), RatingOptions(ties="davidson"))
    gap = result.ratings[0] - result.ratings[1]
    assert gap == pytest.approx(400 * np.log10(wins / losses), abs=1e-6)
    assert result.nu == pytest.approx(ties / np.sqrt(wins * losses))


@settings(deadline=None)
@given(connected_rows(), st.randoms())
def test_order_of_votes_and_of_a_and_b_makes_no_difference(rows, random):
    flip = {"model_a": "model_b", "model_b": "model_a"}
    swapped = [(b, a, flip.get(w, w)) for a, b, w in random.sample(rows, len(rows))]
    one, other = rate_votes(make_votes(rows)), rate_votes(make_votes(swapped))
    np.testing.assert_allclose(one.ratings, other.ratings, atol=1e-8)
    np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-6)


@settings(deadline=None)
@given(connected_rows())
def test_each_vote_a_cluster_is_close_to_votes_alone(rows):
    votes = make_votes(rows * 20, rater=[f"r{i}" for i in range(20 * len(rows))])
    clustered = rate_votes(votes, RatingOptions(clusters=("rater",))).covariance
    alone = rate_votes(votes, RatingOptions(clusters=())).covariance
    np.testing.assert_allclose(clustered, alone, rtol=0.2, atol=0.02 * np.abs(alone).max())


def test_one_judge_among_people_is_rated_as_the_judge_alone():
    """Codes of a part of the votes have the names of all; one rater is still one rater."""
    rng = np.random.default_rng(3)
    rows = [("a", "b", winner) for winner in rng.choice(["model_a", "model_b"], 40)]
    examples = [f"e{k % 10}" for k in range(40)]
    raters = ["judge"] * 20 + [f"person {k}" for k in range(20)]
    votes = make_votes(rows, rater=raters, example_id=examples)
    among = rate_votes(votes.take(np.arange(20)))
    alone = rate_votes(make_votes(rows[:20], rater=raters[:20], example_id=examples[:20]))
    np.testing.assert_array_equal(among.covariance, alone.covariance)
    assert among.warnings == alone.warnings
    assert np.isfinite(among.confidence_interval(0.95)).all()


def test_clusters_of_copies_widen_intervals_as_they_should():
    rows = [("x", "y", w) for w in ("model_a", "model_a", "model_b", "tie")] * 25
    raters = [f"r{i}" for i in range(100)]
    once = rate_votes(make_votes(rows, rater=raters)).confidence_interval()
    copied = rate_votes(make_votes(rows * 10, rater=raters * 10)).confidence_interval()
    np.testing.assert_allclose(copied.high, once.high, rtol=1e-6)


def test_sandwich_equals_the_formula_for_two_models():
    """Var(θ_A − θ_B) = Σ (y − p)² / (n p (1 − p))², jackknifed by (1 − 1/n)²."""
    rows = [("x", "y", w) for w in ["model_a"] * 30 + ["model_b"] * 15 + ["tie"] * 5]
    result = rate_votes(make_votes(rows))
    p, n = 32.5 / 50, 50
    squares = 30 * (1 - p) ** 2 + 15 * p**2 + 5 * (0.5 - p) ** 2
    expected = squares / (1 - 1 / n) ** 2 / (n * p * (1 - p)) ** 2 * (400 / np.log(10)) ** 2
    cov = result.covariance
    assert cov[0, 0] + cov[1, 1] - 2 * cov[0, 1] == pytest.approx(expected)


@pytest.mark.parametrize("n_models", [2, 200, 300])
def test_counts_equal_a_plain_sum_over_votes(monkeypatch, n_models):
    monkeypatch.setattr("evalcore.stats.counts._CHUNK_VOTES", 100)
    rng = np.random.default_rng(n_models)
    a = rng.integers(n_models, size=1001)
    b = (a + rng.integers(1, n_models, 1001)) % n_models
    winner, weights = rng.integers(4, size=1001).astype(np.uint8), rng.random(1001)
    names = tuple(f"{i:03}" for i in range(n_models))
    votes = Votes(models=names, model_a=a, model_b=b, winner=winner)
    wins, ties = np.zeros((2, n_models, n_models))
    np.add.at(wins, (a[winner == 0], b[winner == 0]), weights[winner == 0])
    np.add.at(wins, (b[winner == 1], a[winner == 1]), weights[winner == 1])
    np.add.at(ties, (a[winner > 1], b[winner > 1]), weights[winner > 1])
    counts = count_votes(votes, weights=weights)
    np.testing.assert_allclose(counts.wins, wins, rtol=1e-12)
    np.testing.assert_allclose(counts.ties, ties + ties.T, rtol=1e-12)
    np.testing.assert_array_equal(count_votes(votes).battles > 0, counts.battles > 0)


@pytest.mark.parametrize("code", [-1, 2])
def test_code_of_no_model_is_an_error(code):
    a, b = np.array([0, code]), np.array([1, 0])
    votes = Votes(models=("x", "y"), model_a=a, model_b=b, winner=np.zeros(2, np.uint8))
    with pytest.raises(InputError, match=r"codes must lie in \[0, 2\)"):
        count_votes(votes)


def test_weight_two_rates_like_two_votes():
    rows = [("x", "y", "model_a"), ("y", "z", "tie"), ("z", "x", "model_a"), ("y", "x", "tie")]
    doubled = rate_votes(make_votes([*rows, rows[1]]))
    weighted = rate_votes(make_votes(rows), weights=np.array([1.0, 2.0, 1.0, 1.0]))
    np.testing.assert_allclose(weighted.ratings, doubled.ratings)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_unusable_weights_are_an_error(weight):
    with pytest.raises(InputError, match="weights must be finite"):
        rate_votes(make_votes([("x", "y", "tie")]), weights=np.array([weight]))


def test_both_bad_is_a_tie_unless_dropped():
    rows = [("x", "y", "model_a"), ("x", "y", "model_b"), ("x", "y", "model_a")]
    bad = [*rows, ("x", "y", "both_bad")]
    tie = rate_votes(make_votes([*rows, ("x", "y", "tie")]))
    assert rate_votes(make_votes(bad)).ratings.tolist() == tie.ratings.tolist()
    dropped = rate_votes(make_votes(bad), RatingOptions(both_bad="drop"))
    np.testing.assert_allclose(dropped.ratings, rate_votes(make_votes(rows)).ratings)
    assert dropped.n_votes == 3


def test_anchor_is_fixed_and_has_no_interval():
    rows = [("x", "y", "model_a"), ("y", "z", "model_a"), ("z", "x", "model_a")] * 5
    rows = [*rows, ("x", "z", "model_a"), ("x", "y", "model_a")]
    result = rate_votes(make_votes(rows), RatingOptions(anchor="y", centre=1200))
    interval = result.confidence_interval()
    assert result.ratings[1] == 1200
    assert np.isnan(interval.low[1])
    difference = result.difference("x", "y")
    assert interval.low[0] - 1200 == pytest.approx(difference.low)
    free = rate_votes(make_votes(rows)).difference("x", "y")
    assert (difference.low, difference.high) == pytest.approx((free.low, free.high))
    assert (
        result.rank_interval().low.tolist()
        == rate_votes(make_votes(rows)).rank_interval().low.tolist()
    )


def test_unknown_anchor_is_an_error():
    with pytest.raises(InputError, match="anchor must be one of x, y; got 'q'"):
        rate_votes(make_votes([("x", "y", "tie")]), RatingOptions(anchor="q"))


def test_only_wins_are_infinite_with_a_one_sided_interval():
    """Thirty wins in a row at p have probability p³⁰: the lower end is where that is 5 %."""
    result = rate_votes(make_votes([("x", "y", "model_a")] * 30))
    assert result.ratings[0] == np.inf
    low, high = result.confidence_interval(0.95)
    p = 0.05 ** (1 / 30)
    assert low[0] - 1000 == pytest.approx(400 * np.log10(p / (1 - p)))
    assert high[0] == np.inf
    assert np.isnan([low[1], high[1]]).all()
    assert "the rating is infinite: x" in " ".join(result.warnings)
    assert result.rank_interval().high.tolist() == [1, 2]


def test_models_beyond_a_core_keep_its_ratings_finite():
    core = [("x", "y", "model_a"), ("y", "x", "model_a")] * 20
    rows = [*core, ("best", "x", "model_a"), ("y", "worst", "model_a")]
    result = rate_votes(make_votes(rows))
    assert dict(zip(result.models, result.ratings, strict=True)) == {
        "best": np.inf,
        "worst": -np.inf,
        "x": pytest.approx(1000),
        "y": pytest.approx(1000),
    }
    assert result.rank_interval().low.tolist() == [1, 1, 1, 1]


def test_groups_without_a_battle_between_them_are_listed():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a"), ("u", "v", "tie"), ("y", "z", "tie")]
    result = rate_votes(make_votes(rows * 5))
    assert np.isnan(result.ratings[:2]).all()
    assert result.ranks[:2].tolist() == [0, 0]
    assert any("x, y, z; u, v" in warning for warning in result.warnings)
    assert np.isnan(result.win_probability("u", "x"))


@pytest.mark.parametrize("ties", ["half", "davidson"])
def test_ties_alone_have_no_interval(ties):
    result = rate_votes(make_votes([("x", "y", "tie")] * 30), RatingOptions(ties=ties))
    assert np.isnan(result.confidence_interval()).all()
    assert result.rank_interval().high.tolist() == [2, 2]
    assert "every vote is a tie: nothing tells the models apart" in result.warnings


def test_model_with_ties_alone_has_no_interval_among_others():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a"), ("x", "y", "tie")] * 9
    result = rate_votes(make_votes([*rows, ("z", "x", "tie"), ("z", "x", "tie")]))
    low, high = result.confidence_interval()
    assert np.isnan([low[2], high[2]]).all() or high[2] > low[2]
    assert (high[:2] > low[:2]).all()


def test_single_rater_is_said_and_not_clustered_by():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a"), ("x", "y", "tie")] * 9
    result = rate_votes(make_votes(rows, rater=["me"] * 27))
    assert "all votes have one rater" in result.warnings[0]
    assert result.method.endswith("sandwich by vote")


def test_single_rater_of_the_rated_models_is_not_clustered_by_though_others_have_more():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a"), ("x", "y", "tie")] * 9
    apart = [("v", "w", "model_a"), ("w", "v", "model_a")]
    result = rate_votes(make_votes(rows + apart, rater=["me"] * 27 + ["you", "they"]))
    alone = rate_votes(make_votes(rows, rater=["me"] * 27))
    assert "all votes between rated models have one rater" in result.warnings[0]
    assert result.confidence_interval().low[2:] == pytest.approx(alone.confidence_interval().low)


def test_model_seen_by_one_rater_has_no_interval():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a")] * 10
    rows += [("x", "z", "model_a"), ("z", "x", "model_a")]
    raters = [f"r{i % 5}" for i in range(20)] + ["r0", "r0"]
    result = rate_votes(make_votes(rows, rater=raters))
    assert np.isnan(result.confidence_interval().low[2])
    assert any("fewer than two raters" in warning for warning in result.warnings)


def test_votes_that_cancel_out_within_each_rater_give_no_interval():
    rows = [("x", "y", "model_a"), ("x", "y", "model_b")] * 2
    result = rate_votes(make_votes(rows, rater=["r1", "r1", "r2", "r2"]))
    assert np.isnan(result.confidence_interval()).all()
    assert result.rank_interval().high.tolist() == [2, 2]
    assert any("cancel out within each, so no interval: x, y" in text for text in result.warnings)


def test_self_battle_in_arrays_is_an_error():
    votes = make_votes([("x", "y", "tie"), ("y", "x", "tie")])
    broken = dataclasses.replace(votes, model_b=votes.model_a)
    with pytest.raises(InputError, match="x, y met itself"):
        count_votes(broken)


def test_one_more_vote_equals_counting_again():
    rows = [("x", "y", "model_a"), ("y", "z", "tie"), ("z", "x", "model_a")] * 3
    before = count_votes(make_votes(rows))
    after = rate_counts(before.add("z", "y", "model_b"), start=rate_counts(before))
    again = rate_counts(count_votes(make_votes([*rows, ("z", "y", "model_b")])))
    np.testing.assert_allclose(after.ratings, again.ratings, atol=1e-8)
    np.testing.assert_allclose(after.covariance, again.covariance, rtol=1e-5)


def test_win_probabilities_add_up():
    rows = [("x", "y", "model_a"), ("y", "x", "model_a"), ("x", "y", "tie")] * 3
    for ties in ("half", "davidson"):
        result = rate_votes(make_votes([*rows, rows[0]]), RatingOptions(ties=ties))
        there, back = result.win_probability("x", "y"), result.win_probability("y", "x")
        assert there + back == pytest.approx(1)
        assert there == pytest.approx(5.5 / 10)


def test_rank_interval_holds_the_rank_and_narrows_with_votes():
    rows = [("x", "y", w) for w in ["model_a"] * 3 + ["model_b"] * 2]
    rows += [("y", "z", w) for w in ["model_a"] * 3 + ["model_b"] * 2]
    few, many = rate_votes(make_votes(rows)), rate_votes(make_votes(rows * 100))
    assert few.rank_interval().high.tolist() == [3, 3, 3]
    assert many.rank_interval().low.tolist() == [1, 2, 3]
    assert many.rank_interval().high.tolist() == [1, 2, 3]


def test_simultaneous_ranks_hold_the_likely_ones():
    rng = np.random.default_rng(3)
    names = [f"m{i}" for i in range(8)]
    pairs = [rng.choice(8, 2, replace=False) for _ in range(400)]
    won = [
        "model_a" if rng.random() < 1 / (1 + np.exp((a - b) / 3)) else "model_b" for a, b in pairs
    ]
    result = rate_votes(
        make_votes([(names[a], names[b], w) for (a, b), w in zip(pairs, won, strict=True)])
    )
    likely, wide = result.rank_interval(), result.rank_interval(simultaneous=True)
    assert (wide.low <= likely.low).all()
    assert (likely.high <= wide.high).all()
    assert (likely.high - likely.low).sum() < (wide.high - wide.low).sum()


@pytest.mark.parametrize("level", [0.0, 1.0, np.nan, 95])
def test_level_outside_its_range_is_an_error(level):
    result = rate_votes(make_votes([("x", "y", "model_a"), ("y", "x", "model_a")]))
    with pytest.raises(InputError, match="level must lie between 0 and 1"):
        result.confidence_interval(level)


@settings(deadline=None)
@given(connected_rows())
def test_online_elo_equals_evalica(rows):
    votes = make_votes(rows)
    a, b, winners = zip(*((a, b, OUTCOMES[w]) for a, b, w in rows), strict=True)
    theirs = evalica.elo(a, b, winners, initial=1000.0, base=10.0, scale=400.0, k=4.0).scores
    np.testing.assert_allclose(online_elo(votes, k=4.0), theirs[list(votes.models)])


def test_ties_that_outweigh_all_wins_leave_davidson_no_finite_estimate():
    """A win and ties of one pair are likeliest as ν and the gap both grow without end."""
    rows = [("x", "y", "model_a"), ("x", "y", "tie"), ("y", "z", "model_a"), ("z", "y", "tie")]
    result = rate_votes(make_votes(rows * 5), RatingOptions(ties="davidson"))
    assert result.nu is None
    assert any("ν is infinite" in warning for warning in result.warnings)
    told = rate_votes(
        make_votes([*rows * 5, ("z", "x", "model_a")]), RatingOptions(ties="davidson")
    )
    assert told.nu > 0


def test_anchor_without_interval_leaves_the_others_none_and_says_so():
    rows = [("x", "y", "model_a"), ("x", "y", "model_b")] * 6 + [
        ("z", "y", "tie"),
        ("z", "x", "tie"),
    ]
    raters = [f"r{i % 4}" for i in range(12)] + ["r0", "r0"]
    result = rate_votes(make_votes(rows, rater=raters), RatingOptions(anchor="z"))
    assert np.isnan(result.confidence_interval().low).all()
    assert any(text.endswith("no interval: x, y") for text in result.warnings)


def test_ranks_do_not_depend_on_the_anchor():
    rng = np.random.default_rng(3)
    rows = [(*rng.permutation(list("wxyz"))[:2], w) for w in rng.choice([*OUTCOMES], 80)]
    votes = make_votes(rows, rater=[f"r{i % 4}" for i in range(80)])
    free = rate_votes(votes).rank_interval(0.8)
    for anchor in "wxyz":
        anchored = rate_votes(votes, RatingOptions(anchor=anchor)).rank_interval(0.8)
        np.testing.assert_array_equal(np.array(anchored), np.array(free))
