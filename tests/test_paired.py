import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalcore.errors import InputError
from evalcore.stats.paired import (
    holm,
    mcnemar_exact,
    paired_difference,
    sign_test,
    stratified_difference,
)
from evalcore.stats.sign_flip import sign_flip_test
from evalcore.stats.tie_letters import tie_letters

binary_lists = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_binomial_test(wins, losses):
    expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar_exact(wins, losses) == pytest.approx(expected)


def test_sign_test_ignores_ties_and_unscored():
    assert sign_test([1.0, 2.0, 0.0, math.nan, 3.0]) == mcnemar_exact(3, 0)


def test_sign_flip_counts_all_signs_for_few_differences():
    sizes = [0.3, -1.2, 2.0, 0.7, 1.1]
    sums = [abs(np.dot(signs, sizes)) for signs in itertools.product([-1, 1], repeat=5)]
    assert sign_flip_test(sizes) == np.mean(np.array(sums) >= abs(sum(sizes)) - 1e-12)


@pytest.mark.parametrize("shift", [0.2, 0.6, 1.0])
def test_sign_flip_saddlepoint_agrees_with_counting(shift):
    sizes = np.random.default_rng(4).normal(shift, 1.0, 18)
    sums = np.zeros(1)
    for size in sizes:
        sums = np.concatenate([sums - size, sums + size])
    exact = np.mean(np.abs(sums) >= abs(sizes.sum()) - 1e-12)
    assert sign_flip_test(sizes) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("wins", [30, 35, 45, 60])
def test_sign_flip_of_equal_sizes_is_the_binomial_test(wins):
    signs = np.repeat([0.5, -0.5], [wins, 60 - wins])
    assert sign_flip_test(signs) == pytest.approx(mcnemar_exact(wins, 60 - wins), rel=0.02)


@given(binary_lists)
def test_paired_difference_changes_sign_with_the_order(pairs):
    first, second = zip(*pairs, strict=True)
    forth, back = paired_difference(first, second), paired_difference(second, first)
    assert forth.difference.value == -back.difference.value
    assert forth.difference.low == pytest.approx(-back.difference.high, abs=1e-6)
    assert forth.p_value == back.p_value


def test_paired_difference_counts_unscored_pairs():
    result = paired_difference([1, 0, math.nan, 1], [0, 0, 1, math.nan])
    assert (result.n_pairs, result.difference.n_unscored) == (2, 2)
    assert (result.wins, result.ties, result.losses) == (1, 1, 0)


def test_paired_difference_of_equal_answers_has_a_width():
    result = paired_difference([1] * 50, [1] * 50)
    assert result.p_value == 1.0
    assert result.difference.low < 0.0 < result.difference.high < 0.1


def test_infinite_scores_are_compared_by_sign():
    impossible = [-math.inf] * 6
    result = paired_difference(impossible, [-1.0] * 5 + [-math.inf])
    assert (result.losses, result.ties, result.p_value) == (5, 1, mcnemar_exact(0, 5))
    assert (result.difference.value, result.difference.high) == (-math.inf, math.inf)
    assert stratified_difference([(impossible, [-1.0] * 6, None)]).p_value == mcnemar_exact(0, 6)


def test_paired_difference_by_groups_flips_groups():
    first = np.repeat([1.0, 0.0], [12, 4])
    result = paired_difference(first, np.zeros(16), groups=np.repeat(range(4), 4))
    assert result.p_value == 0.25  # three groups differ: 2 of 8 signs
    assert result.test == "sign flip by group"


def test_paired_values_of_unequal_length_are_refused():
    with pytest.raises(InputError, match="equally many; got 2 and 1"):
        paired_difference([1, 0], [1])


def test_paired_difference_of_metric_holds_its_level():
    rng = np.random.default_rng(8)
    rejected = []
    for seed in range(400):
        truth = rng.random(40)
        noise = rng.normal(0, 0.2, (2, 40))
        rejected.append(paired_difference(truth + noise[0], truth + noise[1], seed=seed).p_value)
    assert 0.02 <= np.mean(np.array(rejected) < 0.05) <= 0.08


def test_stratified_difference_weighs_tasks_equally():
    large = ([1.0] * 90 + [0.0] * 10, [0.0] * 100, None)
    small = ([0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], None)
    result = stratified_difference([large, small])
    assert result.difference.value == pytest.approx(0.45)
    assert (result.wins, result.ties, result.losses) == (92, 10, 2)


def test_stratified_difference_covers_and_holds_its_level():
    rng, hits, rejected = np.random.default_rng(9), [], []
    for _ in range(500):
        tasks = [(rng.random(n) < 0.7, rng.random(n) < 0.7, None) for n in (40, 120)]
        result = stratified_difference(tasks)
        hits.append(result.difference.low <= 0.0 <= result.difference.high)
        rejected.append(result.p_value < 0.05)
    assert 0.925 <= np.mean(hits) <= 0.975
    assert np.mean(rejected) <= 0.075


def test_task_without_differences_counts_as_uncertain():
    same = ([1.0] * 20, [1.0] * 20, None)
    difference = stratified_difference([same]).difference
    assert difference.low == -difference.high
    assert 0.05 < difference.high < 0.2


@pytest.mark.parametrize("tasks", [[], [([], [], None)]])
def test_stratified_difference_of_nothing_is_nan(tasks):
    result = stratified_difference(tasks)
    assert math.isnan(result.difference.value)
    assert (result.p_value, result.difference.high) == (1.0, math.inf)


def test_holm_equals_worked_example():
    """Holm's procedure on p = .01, .04, .03, .005: 4, 3, 2 and 1 times, made monotone."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_order_and_never_lowers(p_values):
    adjusted = holm(p_values)
    assert np.all(adjusted >= np.array(p_values))
    order = np.argsort(p_values)
    assert np.all(np.diff(adjusted[order]) >= 0)


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.randoms())))
def test_models_share_a_letter_exactly_if_not_different(case):
    order, random = case
    n = len(order)
    differs = np.zeros((n, n), dtype=bool)
    for i, j in itertools.combinations(range(n), 2):
        differs[i, j] = differs[j, i] = random.random() < 0.5
    letters = tie_letters(order, differs)
    for i, j in itertools.combinations(range(n), 2):
        assert bool(set(letters[i]) & set(letters[j])) == (not differs[i, j])
    assert "a" in letters[order[0]]
