import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from evalcore.errors import InputError, VotesError
from evalcore.stats.intervals import wilson_interval
from evalcore.stats.trinomial import (
    EffectiveCounts,
    exact_p_greater,
    tango_interval,
    tango_statistic,
)
from evalcore.stats.win_rate import PairVotes, win_rate, win_rate_posterior
from evalcore.votes import Votes

counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))


def votes_of(wins, ties, losses, **groups):
    return PairVotes(scores=np.repeat([1.0, 0.5, 0.0], [wins, ties, losses]), **groups)


def crossed(rng, n_prompts, n_raters, n, *, rater_sd=0.5, tie_share=0.0):
    """Votes with prompt effects of 1 and rater effects on the logit scale; true win rate 1/2."""
    prompt, rater = rng.integers(n_prompts, size=n), rng.integers(n_raters, size=n)
    logit = rng.normal(0, 1, n_prompts)[prompt] + rng.normal(0, rater_sd, n_raters)[rater]
    scores = np.where(rng.random(n) < special.expit(logit), 1.0, 0.0)
    scores[rng.random(n) < tie_share] = 0.5
    return PairVotes(scores=scores, raters=rater, examples=prompt)


@given(st.integers(0, 200), st.integers(1, 200))
def test_tango_interval_without_ties_is_wilson(wins, losses):
    low, high = tango_interval(wins, losses, wins + losses)
    expected = wilson_interval(wins, wins + losses)
    assert ((1 + low) / 2, (1 + high) / 2) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("difference", [-0.6, -0.1, 0.05, 0.4])
def test_tango_statistic_uses_the_constrained_likelihood(difference):
    wins, ties, losses = 17, 9, 11

    def negative_log_likelihood(loss):
        win = loss + difference
        logs = special.xlogy([wins, ties, losses], [win, 1 - win - loss, loss])
        return -float(np.sum(logs))

    bounds = max(0.0, -difference), (1 - difference) / 2
    loss = optimize.minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded").x
    spread = 37 * (2 * loss + difference - difference**2)
    expected = (wins - losses - 37 * difference) / math.sqrt(spread)
    assert float(tango_statistic(wins, losses, 37, difference)) == pytest.approx(expected, rel=1e-4)


def test_tango_statistic_at_zero_is_mcnemar():
    assert float(tango_statistic(30, 14, 90, 0.0)) == pytest.approx(16 / math.sqrt(44))


@given(counts)
def test_win_rate_mirrors_when_models_change_places(case):
    wins, ties, losses = case
    forth, back = win_rate(votes_of(wins, ties, losses)), win_rate(votes_of(losses, ties, wins))
    assert forth.estimate.low == pytest.approx(1 - back.estimate.high, abs=1e-6)
    assert forth.effective.p_different() == pytest.approx(back.effective.p_different())


@given(counts)
def test_interval_never_has_zero_width_and_holds_its_value(case):
    estimate = win_rate(votes_of(*case)).estimate
    assert 0.0 <= estimate.low < estimate.high <= 1.0
    assert estimate.n == 0 or estimate.low <= estimate.value <= estimate.high


@given(counts)
def test_interval_excludes_one_half_exactly_if_the_difference_is_significant(case):
    result = win_rate(votes_of(*case))
    excluded = not result.estimate.low <= 0.5 <= result.estimate.high
    p_value = result.effective.p_different()
    assert excluded == (p_value < 0.05) or p_value == pytest.approx(0.05, abs=1e-4)


def test_exact_p_value_without_ties_is_binomial():
    expected = stats.binom.sf(8, 12, 0.5)
    assert exact_p_greater(9, 3, 12, 0.0) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("tie_share", [0.0, 0.3, 0.8])
def test_exact_interval_covers_whatever_the_ties(tie_share):
    for win in np.array([0.1, 0.5, 0.9]) * (1 - tie_share):
        shares = [win, tie_share, 1 - tie_share - win]
        covered = 0.0
        for wins in range(9):
            for ties in range(9 - wins):
                case = EffectiveCounts(wins=wins, ties=ties, losses=8 - wins - ties, exact=True)
                low, high = case.interval()
                if low <= shares[0] - shares[2] <= high:
                    outcome = [wins, ties, 8 - wins - ties]
                    covered += stats.multinomial.pmf(outcome, 8, shares)
        assert covered >= 0.95


@pytest.mark.parametrize(
    ("n", "rate", "tie_share"),
    [(40, 0.5, 0.0), (40, 0.6, 0.6), (100, 0.9, 0.1), (100, 0.5, 0.9), (300, 0.97, 0.0)],
)
def test_score_interval_covers_with_and_without_ties(n, rate, tie_share):
    rng = np.random.default_rng(11)
    shares = [rate - tie_share / 2, tie_share, 1 - rate - tie_share / 2]
    drawn, times = np.unique(rng.multinomial(n, shares, size=2000), axis=0, return_counts=True)
    hits = 0
    for (wins, _, losses), count in zip(drawn, times, strict=True):
        low, high = tango_interval(wins, losses, n)
        hits += count * (low <= 2 * rate - 1 <= high)
    assert 0.93 <= hits / 2000 <= 0.975


def test_no_votes_rule_nothing_out():
    result = win_rate(votes_of(0, 0, 0))
    assert math.isnan(result.estimate.value)
    assert (result.estimate.low, result.estimate.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("n_prompts", "n_raters", "n", "options"),
    [(180, 100, 1800, {}), (60, 10, 400, {"tie_share": 0.3}), (40, 20, 300, {"rater_sd": 0.0})],
)
def test_two_way_interval_covers_under_prompt_and_rater_effects(n_prompts, n_raters, n, options):
    rng, hits = np.random.default_rng(12), []
    for _ in range(700):
        estimate = win_rate(crossed(rng, n_prompts, n_raters, n, **options)).estimate
        hits.append(estimate.low <= 0.5 <= estimate.high)
    assert 0.925 <= np.mean(hits) <= 0.975


def test_interval_that_ignores_clusters_would_be_too_narrow():
    pair = crossed(np.random.default_rng(13), 180, 100, 18_000)
    result = win_rate(pair)
    alone = win_rate(PairVotes(scores=pair.scores))
    width = result.estimate.high - result.estimate.low
    assert width > 3 * (alone.estimate.high - alone.estimate.low)
    assert result.design_effect > 9


def test_repeated_votes_of_one_rater_add_little():
    scores = np.tile([1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 10)
    result = win_rate(PairVotes(scores=scores, raters=np.tile(np.arange(6), 10)))
    assert result.effective.n < 7


def test_single_rater_is_said_and_not_clustered_by():
    result = win_rate(votes_of(20, 0, 20, raters=np.zeros(40, dtype=int)))
    assert result.estimate.method.endswith("independent votes; one rater only")


def test_votes_of_a_pair_are_found_under_either_name():
    columns = {
        "model_a": ["x", "y", "x", "y"],
        "model_b": ["y", "x", "z", "x"],
        "winner": ["model_a", "model_a", "tie", "both_bad"],
        "rater": ["r", None, "r", None],
    }
    pair = PairVotes.from_votes(Votes.from_columns(columns), "x", "y")
    assert pair.scores.tolist() == [1.0, 0.0, 0.5]
    assert len(set(pair.raters.tolist())) == 3


@pytest.mark.parametrize(("other", "message"), [("q", "one of x, y; got 'q'"), ("x", "itself")])
def test_wrong_model_is_one_clear_line(other, message):
    votes = Votes.from_columns({"model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    with pytest.raises(VotesError, match=message):
        PairVotes.from_votes(votes, "x", other)


def test_scores_other_than_votes_are_refused():
    with pytest.raises(InputError, match=r"1 \(win\), 0\.5 \(tie\) or 0"):
        win_rate(PairVotes(scores=np.array([0.7])))


def test_posterior_without_ties_is_nearly_beta():
    posterior = win_rate_posterior(EffectiveCounts(wins=60, ties=0, losses=40))
    low, high = stats.beta.ppf([0.025, 0.975], 60.5, 40.5)
    assert posterior.estimate.low == pytest.approx(low, abs=2e-3)
    assert posterior.estimate.high == pytest.approx(high, abs=2e-3)


def test_posterior_agrees_with_draws():
    draws = np.random.default_rng(0).dirichlet([20.5, 15.5, 10.5], size=200_000)
    rates = draws[:, 0] + draws[:, 1] / 2
    posterior = win_rate_posterior(EffectiveCounts(wins=20, ties=15, losses=10), margin=0.1)
    assert posterior.estimate.low == pytest.approx(np.quantile(rates, 0.025), abs=2e-3)
    assert posterior.p_better == pytest.approx(np.mean(rates > 0.5), abs=4e-3)
    assert posterior.p_parity == pytest.approx(np.mean(np.abs(rates - 0.5) < 0.1), abs=4e-3)
