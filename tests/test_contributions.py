"""Shapley values and interactions against brute force, their axioms, and their intervals."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evalcore.errors import InputError
from evalcore.stats.coalitions import every_coalition, sampled_coalitions
from evalcore.stats.contributions import Worths, contrast, contributions


def brute_shapley(worth, n_players: int) -> list[float]:
    """Mean over all orders of what a player adds to those before it."""
    added = np.zeros(n_players)
    orders = list(permutations(range(n_players)))
    for order in orders:
        mask = 0
        for player in order:
            added[player] += worth[mask | 1 << player] - worth[mask]
            mask |= 1 << player
    return list(added / len(orders))


def brute_interaction(worth, n_players: int, pair: tuple[int, int]) -> float:
    """Two players merged into one: the mean over orders of the others around them."""
    others = [player for player in range(n_players) if player not in pair]
    one, other = (1 << player for player in pair)
    total, orders = 0.0, list(permutations([*others, "pair"]))
    for order in orders:
        before = sum(1 << player for player in order[: order.index("pair")])
        total += worth[before | one | other] - worth[before | one]
        total += worth[before] - worth[before | other]
    return total / len(orders)


def values_of(found) -> list[float]:
    return [contribution.estimate.value for contribution in found]


scores = st.integers(1, 4).flatmap(
    lambda n: arrays(float, (2**n, 5), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
)


@given(scores)
def test_shapley_equals_the_mean_over_all_orders(values):
    n_players = len(values).bit_length() - 1
    found = contributions([Worths(values=values)], every_coalition(n_players))
    assert values_of(found.shapley) == pytest.approx(
        brute_shapley(values.mean(axis=1), n_players), abs=1e-12
    )


@given(scores)
def test_contributions_sum_to_the_gain_of_the_whole(values):
    n_players = len(values).bit_length() - 1
    found = contributions([Worths(values=values)], every_coalition(n_players))
    gain = values[-1].mean() - values[0].mean()
    assert found.gain.estimate.value == pytest.approx(gain, abs=1e-12)
    assert sum(values_of(found.shapley)) == pytest.approx(gain, abs=1e-12)


@given(scores)
def test_interactions_equal_those_of_the_merged_pair(values):
    n_players = len(values).bit_length() - 1
    found = contributions([Worths(values=values)], every_coalition(n_players))
    worth = values.mean(axis=1)
    wanted = [brute_interaction(worth, n_players, p) for p in combinations(range(n_players), 2)]
    assert values_of(found.interactions) == pytest.approx(wanted, abs=1e-12)


def test_shapley_of_the_glove_game():
    """One left and two right gloves, of which a pair is worth 1 (Shapley 1953's weights): 4:1:1."""
    worth = [float(mask & 1 and mask & 6 != 0) for mask in range(8)]
    values = np.repeat(np.array(worth)[:, None], 3, axis=1)
    found = contributions([Worths(values=values)], every_coalition(3))
    assert values_of(found.shapley) == pytest.approx([4 / 6, 1 / 6, 1 / 6])


@given(scores)
def test_a_player_that_changes_nothing_contributes_nothing(values):
    values = np.concatenate([values, values])  # one more player, of no effect
    n_players = len(values).bit_length() - 1
    found = contributions([Worths(values=values)], every_coalition(n_players))
    null = found.shapley[-1]
    assert (null.estimate.value, null.p_value) == (0.0, 1.0)
    assert null.estimate.low < 0.0 < null.estimate.high
    assert all(
        c.estimate.value == 0.0
        for pair, c in zip(every_coalition(n_players).pairs, found.interactions, strict=True)
        if n_players - 1 in pair
    )


def test_players_that_do_the_same_contribute_the_same():
    rng = np.random.default_rng(0)
    by_size = rng.random((4, 40))
    values = np.array([by_size[mask.bit_count()] for mask in range(8)])
    shapley = contributions([Worths(values=values)], every_coalition(3)).shapley
    assert values_of(shapley) == pytest.approx([shapley[0].estimate.value] * 3)
    assert {round(c.p_value, 9) for c in shapley} == {round(shapley[0].p_value, 9)}


def test_leave_one_out_is_the_whole_less_the_rest():
    values = np.arange(8.0)[:, None] ** 2 + np.zeros((8, 4))
    found = contributions([Worths(values=values)], every_coalition(3))
    assert values_of(found.leave_one_out) == [49 - 36, 49 - 25, 49 - 9]


def test_an_example_unscored_in_one_variant_counts_in_none():
    values = np.array([[0.0, 1.0, 0.0], [1.0, np.nan, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    found = contributions([Worths(values=values)], every_coalition(2))
    for contribution in (found.gain, *found.shapley, *found.interactions):
        assert (contribution.estimate.n, contribution.estimate.n_unscored) == (2, 1)
    assert sum(values_of(found.shapley)) == pytest.approx(found.gain.estimate.value)


def test_weights_make_it_a_ratio_and_groups_make_it_wider():
    rng = np.random.default_rng(1)
    values = np.array([np.zeros(60), np.repeat(rng.normal(1.0, 1.0, 12), 5)])
    weights = np.repeat([1.0, 3.0], 30)
    groups = np.repeat(np.arange(12), 5).astype(str)
    gain = every_coalition(1).gain()
    alone = contrast([Worths(values=values)], gain).estimate
    weighted = contrast([Worths(values=values, weights=weights)], gain).estimate
    grouped = contrast([Worths(values=values, groups=groups)], gain).estimate
    assert weighted.value == pytest.approx(np.average(values[1], weights=weights))
    assert grouped.value == pytest.approx(alone.value)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_average_over_tasks_weighs_each_the_same():
    rng = np.random.default_rng(2)
    tasks = [Worths(values=rng.integers(0, 2, (4, n)).astype(float)) for n in (20, 200)]
    design = every_coalition(2)
    alone = [values_of(contributions([task], design).shapley) for task in tasks]
    together = values_of(contributions(tasks, design).shapley)
    assert together == pytest.approx(np.mean(alone, axis=0))


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_hold_the_truth_as_often_as_they_say(clustered):
    rng = np.random.default_rng(3)
    design = every_coalition(2)
    chances = np.array([0.2, 0.5, 0.4, 0.9])
    truth = brute_shapley(chances, 2)
    wide = brute_interaction(chances, 2, (0, 1))
    n_groups, size, held, n_studies = 16, 3, np.zeros(2), 300
    groups = np.repeat(np.arange(n_groups), size).astype(str)
    for _ in range(n_studies):
        # One draw for all variants pairs them; one for a group makes its examples alike.
        draws = rng.random(n_groups).repeat(size) if clustered else rng.random(n_groups * size)
        task = Worths(
            values=(draws < chances[:, None]).astype(float), groups=groups if clustered else None
        )
        found = contributions([task], design)
        first, pair = found.shapley[0].estimate, found.interactions[0].estimate
        held += [first.low <= truth[0] <= first.high, pair.low <= wide <= pair.high]
    assert np.all(held / n_studies > 0.915)
    assert np.all(held / n_studies < 0.995)


def test_sampled_orders_agree_with_every_order_within_their_error():
    rng = np.random.default_rng(4)
    every = rng.random((2**7, 30))
    truth = brute_like_exact(every)
    design = sampled_coalitions(7, n_permutations=40, seed=5)
    found = contributions([Worths(values=every[list(design.coalitions)])], design)
    assert sum(values_of(found.shapley)) == pytest.approx(found.gain.estimate.value)
    for contribution, exact in zip(found.shapley, truth, strict=True):
        assert 0.0 < contribution.sampling_error < 0.1
        assert abs(contribution.estimate.value - exact) < 4.0 * contribution.sampling_error


def brute_like_exact(values) -> list[float]:
    return values_of(contributions([Worths(values=values)], every_coalition(7)).shapley)


def test_sampled_intervals_hold_the_exact_value_of_the_population():
    rng = np.random.default_rng(6)
    worth = rng.random(2**7)
    truth = brute_like_exact(np.repeat(worth[:, None], 2, axis=1))
    held, n_studies = 0, 30
    for study in range(n_studies):
        design = sampled_coalitions(7, n_permutations=16, seed=study)
        noise = rng.normal(0.0, 0.3, (2**7, 20))
        values = (worth[:, None] + noise)[list(design.coalitions)]
        found = contributions([Worths(values=values)], design).shapley
        held += sum(
            c.estimate.low <= exact <= c.estimate.high
            for c, exact in zip(found, truth, strict=True)
        )
    assert held / (7 * n_studies) > 0.9


def test_sampled_design_has_far_fewer_coalitions_and_repeats_itself():
    design = sampled_coalitions(10, n_permutations=16, seed=1)
    assert len(design.coalitions) < 2**10 / 4
    assert design == sampled_coalitions(10, n_permutations=16, seed=1)
    full = design.full
    assert {0, full, full ^ 1, full ^ 3} <= set(design.coalitions)


def test_sampled_interaction_is_that_in_the_whole_stack():
    values = np.random.default_rng(7).random((2**3, 20))
    design = sampled_coalitions(3, n_permutations=4)
    found = contributions([Worths(values=values[list(design.coalitions)])], design)
    v = values.mean(axis=1)
    assert found.interactions[0].estimate.value == pytest.approx(v[7] - v[6] - v[5] + v[4])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: every_coalition(0), "n_players must be at least 1; got 0"),
        (lambda: sampled_coalitions(7, n_permutations=5), "n_permutations must be even"),
        (lambda: contrast([], np.array([1.0])), "tasks must be at least one"),
        (
            lambda: contributions([Worths(values=np.zeros((3, 2)))], every_coalition(2)),
            "a row for each of 4 coalitions; got 3",
        ),
    ],
)
def test_impossible_input_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
