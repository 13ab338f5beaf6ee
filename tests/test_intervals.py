import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalcore.errors import InputError
from evalcore.stats.clustering import cluster_variance
from evalcore.stats.intervals import (
    mean_estimate,
    proportion_estimate,
    share_interval,
    unanimous_interval,
    wilson_interval,
)


def covers(estimate, truth):
    return estimate.low <= truth <= estimate.high


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_equals_scipy(case):
    successes, n = case
    reference = stats.binomtest(successes, n).proportion_ci(method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((reference.low, reference.high), abs=1e-9)


def test_wilson_interval_without_observations_rules_nothing_out():
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_with_more_successes_than_observations_names_both():
    with pytest.raises(InputError, match=r"between 0 and n=3; got 4"):
        wilson_interval(4, 3)


def test_level_outside_its_range_is_named():
    with pytest.raises(InputError, match="level must lie between 0 and 1; got 95"):
        wilson_interval(1, 2, level=95)


@given(st.lists(st.sampled_from([0.0, 1.0, math.nan]), max_size=30))
def test_proportion_is_never_surer_than_its_data(values):
    estimate = proportion_estimate(values)
    assert estimate.n + estimate.n_unscored == len(values)
    assert 0.0 <= estimate.low < estimate.high <= 1.0


def test_proportion_of_other_values_is_refused():
    with pytest.raises(InputError, match=r"must be 0, 1 or nan; got 0\.5"):
        proportion_estimate([1, 0.5])


def test_proportion_by_groups_that_all_agree_counts_groups():
    estimate = proportion_estimate([1.0] * 20, groups=np.repeat([1, 2, 3, 4], 5))
    assert (estimate.low, estimate.high) == wilson_interval(4, 4)


def test_groups_of_one_give_nearly_the_interval_of_independent_marks():
    marks = np.tile([1.0, 0.0, 1.0, 1.0], 100)
    alone, grouped = proportion_estimate(marks), proportion_estimate(marks, groups=range(400))
    assert grouped.low == pytest.approx(alone.low, abs=5e-4)


def test_cluster_variance_equals_jackknife_over_clusters():
    rng = np.random.default_rng(1)
    values, weights, labels = rng.normal(size=60), rng.random(60), rng.integers(0, 7, 60)
    mean = np.average(values, weights=weights)
    without = [
        np.average(values[labels != g], weights=weights[labels != g]) - mean for g in range(7)
    ]
    expected = 6 / 7 * np.sum(np.square(without))
    result = cluster_variance(values, weights=weights, groupings=[labels])
    assert result.variance == pytest.approx(expected)


def test_cluster_variance_of_plain_values_is_that_of_the_mean():
    values = np.random.default_rng(2).normal(size=50)
    assert cluster_variance(values).variance == pytest.approx(values.var(ddof=1) / 50)


def test_crossed_variance_with_unique_second_grouping_is_one_way():
    rng = np.random.default_rng(3)
    labels = np.repeat(range(30), 3)
    values = rng.normal(size=30)[labels] + rng.normal(size=90)
    both = cluster_variance(values, groupings=[labels, np.arange(90)])
    assert both.variance == pytest.approx(cluster_variance(values, groupings=[labels]).variance)


def test_one_cluster_has_no_variance():
    assert math.isnan(cluster_variance([1.0, 2.0], groupings=[["x", "x"]]).variance)


def test_mean_of_nothing_is_nan_and_unbounded():
    estimate = mean_estimate([math.nan])
    assert math.isnan(estimate.value)
    assert (estimate.low, estimate.high) == (-math.inf, math.inf)
    assert (estimate.n, estimate.n_unscored) == (0, 1)


@pytest.mark.parametrize("values", [[0.3], [0.3, 0.3, 0.3]])
def test_equal_values_never_have_zero_width(values):
    assert mean_estimate(values).low == -math.inf
    bounded = mean_estimate(values, bounds=(0.0, 1.0))
    assert bounded.low < 0.3 < bounded.high < 1.0


def test_unanimous_interval_shrinks_like_the_rule_of_three():
    low, high = unanimous_interval(0.0, 1000, bounds=(0.0, 1.0))
    assert low == 0.0
    assert high == pytest.approx(-math.log(0.025) / 1000, rel=0.01)


def test_mean_is_the_same_to_the_last_digit_with_the_same_seed():
    values = np.random.default_rng(0).random(60)
    assert mean_estimate(values, seed=7) == mean_estimate(values, seed=7)
    assert mean_estimate(values, seed=7) != mean_estimate(values, seed=8)


def test_weighted_mean_is_the_ratio():
    estimate = mean_estimate([2.0, 4.0, math.nan], weights=[3.0, 1.0, 9.0])
    assert estimate.value == pytest.approx(2.5)
    assert estimate.low < 2.5 < estimate.high


def test_weights_that_are_negative_are_refused():
    with pytest.raises(InputError, match="finite and not negative; got -1"):
        mean_estimate([1.0, 2.0], weights=[1.0, -1.0])


def test_share_interval_of_binomial_variance_is_wilson():
    assert share_interval(0.3, 0.21 / 50) == pytest.approx(wilson_interval(15, 50))


@pytest.mark.parametrize(
    "draw", [lambda rng: rng.normal(0.5, 1, 60), lambda rng: rng.beta(0.3, 0.3, 60)]
)
def test_bootstrap_mean_covers_at_its_level(draw):
    rng = np.random.default_rng(5)
    hits = [covers(mean_estimate(draw(rng), seed=i), 0.5) for i in range(500)]
    assert 0.925 <= np.mean(hits) <= 0.975


def test_ratio_covers_at_its_level():
    rng = np.random.default_rng(6)
    hits = [
        covers(mean_estimate(rng.normal(2, 1, 50), weights=rng.lognormal(0, 0.7, 50)), 2.0)
        for _ in range(1000)
    ]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_clustered_proportion_covers_where_groups_differ():
    rng, hits = np.random.default_rng(7), []
    groups = np.repeat(np.arange(25), 8)
    for _ in range(1000):
        latent = 0.8 * rng.normal(size=25)[groups] + rng.normal(size=200)
        hits.append(covers(proportion_estimate(latent > 0, groups=groups), 0.5))
    assert 0.93 <= np.mean(hits) <= 0.97


@pytest.mark.parametrize("n", [10, 30])
@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (lambda rng, n: rng.normal(size=n), 0.0),
        (lambda rng, n: rng.exponential(size=n), 1.0),
        (lambda rng, n: -rng.exponential(size=n), -1.0),
        (lambda rng, n: rng.beta(0.3, 0.6, n), 1 / 3),
    ],
)
def test_mean_of_few_skewed_values_is_covered(draw, mean, n):
    rng = np.random.default_rng(n)
    estimates = [mean_estimate(draw(rng, n)) for _ in range(1000)]
    assert 0.92 < np.mean([one.low <= mean <= one.high for one in estimates]) < 0.98


def test_mean_of_few_values_stays_within_its_bounds():
    estimate = mean_estimate([1.0, 1.0, 0.9, 0.2], bounds=(0.0, 1.0))
    assert estimate.method == "t, widened for skewness"
    assert 0.0 <= estimate.low < 0.2
    assert estimate.high == 1.0
