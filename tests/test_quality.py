from dataclasses import replace

import numpy as np

from evalcore.stats.quality import check_votes
from evalcore.stats.quality_checks import burst_votes, dominating_raters, fast_votes
from evalcore.votes import Categories, Votes


def honest_votes(seed: int, *, n: int = 4000, n_models: int = 8, n_raters: int = 40):
    """Votes by raters with tastes of their own, and the strengths behind them."""
    rng = np.random.default_rng(seed)
    strengths = np.linspace(-1, 1, n_models)
    taste = rng.normal(0, 0.3, (n_raters, n_models))
    a = rng.integers(0, n_models, n)
    b = (a + rng.integers(1, n_models, n)) % n_models
    rater = rng.integers(0, n_raters, n)
    logit = strengths[a] - strengths[b] + taste[rater, a] - taste[rater, b]
    winner = np.where(rng.random(n) < 1 / (1 + np.exp(-logit)), 0, 1).astype(np.uint8)
    votes = Votes(
        models=tuple(f"m{i}" for i in range(n_models)),
        model_a=a,
        model_b=b,
        winner=winner,
        rater=Categories(
            codes=rater.astype(np.int32), names=tuple(f"r{i:02}" for i in range(n_raters))
        ),
        swapped=rng.integers(0, 2, n).astype(np.int8),
    )
    return votes, strengths


def test_honest_raters_are_rarely_called_outliers():
    found = [check_votes(honest_votes(seed)[0]).outliers for seed in range(10)]
    assert sum(map(len, found)) <= 1


def test_rater_who_promotes_a_model_is_found_with_its_effect():
    votes, _ = honest_votes(0)
    mine, worst = votes.rater.codes % 8 == 0, 0  # five raters act together
    winner = np.where(mine & (votes.model_a == worst), 0, votes.winner)
    winner = np.where(mine & (votes.model_b == worst), 1, winner).astype(np.uint8)
    report = check_votes(replace(votes, winner=winner))
    assert {one.rater for one in report.outliers} == {"r00", "r08", "r16", "r24", "r32"}
    assert {one.favourite for one in report.outliers} == {"m0"}
    (suspicion,) = report.suspicions
    assert suspicion.check == "outlier raters"
    assert suspicion.n_votes == int(mine.sum())


def test_rater_who_votes_against_everyone_is_found():
    votes, strengths = honest_votes(1)
    backwards = (strengths[votes.model_a] > strengths[votes.model_b]).astype(np.uint8)
    winner = np.where(votes.rater.codes == 5, backwards, votes.winner).astype(np.uint8)
    (found,) = check_votes(replace(votes, winner=winner)).outliers
    assert found.rater == "r05"
    assert found.consensus_z < -4


def test_preference_for_the_first_place_is_measured():
    votes, _ = honest_votes(2, n=20_000)
    rng = np.random.default_rng(0)
    first = np.where(votes.swapped == 1, 1, 0)
    winner = np.where(rng.random(len(votes)) < 0.2, first, votes.winner).astype(np.uint8)
    position = check_votes(replace(votes, winner=winner)).position
    assert position.low > 0.2
    honest = check_votes(votes).position
    assert honest.low < 0 < honest.high


def test_place_is_not_measured_where_the_order_never_changes():
    """The same model first in every battle of a pair: place and strength can't be told apart."""
    columns = {"model_a": ["x"] * 9, "model_b": ["y"] * 9}
    votes = Votes.from_columns({**columns, "winner": ["model_a", "model_b", "tie"] * 3})
    assert check_votes(votes).position is None


def test_repeated_votes_are_marked_but_the_first():
    columns = {
        "model_a": ["x", "y", "x", "x"],
        "model_b": ["y", "x", "y", "y"],
        "winner": ["model_a", "model_b", "model_a", "model_b"],
        "rater": ["r"] * 4,
        "created_utc": [0.0, 10.0, 500.0, 501.0],
    }
    votes = Votes.from_columns(columns)
    assert burst_votes(votes, within_s=60).tolist() == [False, True, False, False]
    assert not burst_votes(replace(votes, created_s=None)).any()


def test_votes_soon_after_the_last_are_fast():
    columns = {"model_a": ["x"] * 4, "model_b": ["y"] * 4, "winner": ["tie"] * 4}
    votes = Votes.from_columns(
        {**columns, "rater": ["r", "s", "r", "r"], "created_utc": [0.0, 0.5, 1.0, 9.0]}
    )
    assert fast_votes(votes, least_s=2).tolist() == [False, False, True, False]


def test_checks_without_raters_or_times_find_nothing():
    votes = Votes.from_columns({"model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    assert dominating_raters(votes) == ()
    assert not fast_votes(votes).any()
    assert not burst_votes(votes).any()
    assert check_votes(votes).suspicions == ()


def test_dominating_rater_is_named_with_the_ranks_without_it():
    one = [("x", "y", "model_a", "me")] * 30 + [("y", "x", "model_a", "me")]
    others = [("y", "x", "model_a", f"r{i}") for i in range(20)] + [("x", "y", "model_a", "r1")]
    rows = zip(*(one + others), strict=True)
    votes = Votes.from_columns(
        dict(zip(("model_a", "model_b", "winner", "rater"), rows, strict=True))
    )
    report = check_votes(votes)
    assert [found.rater for found in report.dominating] == ["me"]
    changes = {s.check: s.changes for s in report.suspicions}["dominating raters"]
    assert [(c.model, c.rank_with, c.rank_without) for c in changes] == [("x", 1, 2), ("y", 2, 1)]
