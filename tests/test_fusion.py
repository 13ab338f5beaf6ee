import numpy as np
import pytest

from evalcore.errors import InputError, VotesError
from evalcore.stats.fusion import JudgedVotes, fused_win_rate
from evalcore.votes import Votes


def study(rng, *, n=300, n_judged=10_000, errors=0.2, bias=0.0, win_rate=0.5):
    """Votes and a judge who errs in a share of cases, and leans to the first model in others."""
    human = (rng.random(n + n_judged) < win_rate).astype(float)
    judge = np.where(rng.random(len(human)) < errors, 1.0 - human, human)
    judge = np.where(rng.random(len(human)) < bias, 1.0, judge)
    return JudgedVotes(human=human[:n], judge=judge[:n], judge_alone=judge[n:])


def test_judge_who_agrees_in_80_percent_saves_30_percent_of_votes():
    rng = np.random.default_rng(29)
    saved = [fused_win_rate(study(rng, errors=0.2)).votes_saved for _ in range(20)]
    assert np.mean(saved) >= 0.30


def test_saved_votes_show_in_the_spread_of_the_estimates():
    rng = np.random.default_rng(30)
    results = [fused_win_rate(study(rng, errors=0.1)) for _ in range(200)]
    fused = np.var([result.estimate.value for result in results])
    alone = np.var([result.human_only.value for result in results])
    promised = np.mean([result.votes_saved for result in results])
    assert 1 - fused / alone == pytest.approx(promised, abs=0.12)


@pytest.mark.parametrize("options", [{}, {"win_rate": 0.8}, {"n": 40, "n_judged": 500}])
def test_fused_interval_covers_with_a_biased_judge(options):
    rng, hits, judge_hits = np.random.default_rng(31), [], []
    truth = options.get("win_rate", 0.5)
    for _ in range(300):
        result = fused_win_rate(study(rng, bias=0.15, **{"n_judged": 2000, **options}))
        hits.append(result.estimate.low <= truth <= result.estimate.high)
        judge_hits.append(result.judge_only.low <= truth <= result.judge_only.high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert np.mean(judge_hits) < 0.5


def test_judge_who_knows_nothing_costs_nothing():
    result = fused_win_rate(study(np.random.default_rng(32), errors=0.5))
    assert abs(result.tuning) < 0.2
    assert result.votes_saved > -0.05


def test_estimate_equals_the_formula():
    data = study(np.random.default_rng(33), n=50, n_judged=200)
    result = fused_win_rate(data)
    correction = result.tuning * (data.judge_alone.mean() - data.judge.mean())
    assert result.estimate.value == pytest.approx(data.human.mean() + correction)
    every = np.concatenate([data.judge, data.judge_alone])
    covariance = np.cov(data.human, data.judge)[0, 1]
    assert result.tuning == pytest.approx(covariance / (1.25 * every.var(ddof=1)))
    residual = (data.human - result.tuning * data.judge).var(ddof=1)
    variance = residual / 50 * 49 / 48 + result.tuning**2 / 50**2
    variance += result.tuning**2 * data.judge_alone.var(ddof=1) / 200
    assert result.votes_saved == pytest.approx(1 - variance / (data.human.var(ddof=1) / 50))


@pytest.mark.parametrize("alone", [[], [0.5] * 100])
def test_verdicts_that_tell_nothing_leave_the_human_estimate(alone):
    data = JudgedVotes(
        human=np.array([1.0, 0.0] * 20), judge=np.full(40, 0.5), judge_alone=np.array(alone)
    )
    result = fused_win_rate(data)
    assert result.estimate == result.human_only
    assert (result.tuning, result.votes_saved) == (0.0, 0.0)


def test_unequal_lengths_are_refused():
    data = JudgedVotes(human=np.ones(3), judge=np.ones(2), judge_alone=np.ones(5))
    with pytest.raises(InputError, match="equally many; got 3 and 2"):
        fused_win_rate(data)


def test_votes_and_verdicts_meet_by_example_and_model():
    rows = [
        ("x", "y", "model_a", "human", "1"),
        ("y", "x", "model_a", "judge", "1"),
        ("x", "y", "tie", "judge", "1"),
        ("x", "y", "model_a", "human", "2"),
        ("x", "y", "model_a", "judge", "3"),
        ("x", "z", "model_a", "judge", "4"),
    ]
    names = ("model_a", "model_b", "winner", "rater_kind", "example_id")
    votes = Votes.from_columns(dict(zip(names, zip(*rows, strict=True), strict=True)))
    data = JudgedVotes.from_votes(votes, "x", "y")
    assert (data.human.tolist(), data.judge.tolist()) == ([1.0], [0.25])
    assert data.judge_alone.tolist() == [1.0]
    assert data.n_unjudged == 1


def test_votes_without_kinds_of_rater_are_refused():
    votes = Votes.from_columns({"model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    with pytest.raises(VotesError, match="needs rater_kind and example_id"):
        JudgedVotes.from_votes(votes, "x", "y")


def test_votes_that_cancel_out_on_every_example_save_an_unknown_share():
    data = JudgedVotes(
        human=np.tile([1.0, 0.0], 6),
        judge=np.tile([1.0, 0.0], 6),
        judge_alone=np.tile([1.0, 0.0], 9),
        examples=np.repeat(np.arange(6), 2),
    )
    assert np.isnan(fused_win_rate(data).votes_saved)
