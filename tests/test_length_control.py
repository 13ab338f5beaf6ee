import math

import numpy as np
import pytest
from scipy import optimize, special

from evalcore.errors import InputError
from evalcore.stats.length_control import (
    LengthData,
    baseline_win_rate,
    length_controlled_win_rate,
)


def study(rng, n, *, effect=0.7, model=-0.5, difficulty_sd=0.8):
    length, difficulty = np.tanh(rng.normal(0.5, 1, n)), rng.normal(0, difficulty_sd, n)
    probability = special.expit(effect * length + difficulty + model)
    preferences = (rng.random(n) < probability).astype(float)
    return LengthData(preferences=preferences, tanh_length=length, difficulty=difficulty)


def test_coefficients_are_of_maximum_likelihood():
    data = study(np.random.default_rng(34), 300)
    design = np.column_stack([data.tanh_length, data.difficulty, np.ones(300)])

    def loss(coefficients):
        logit = design @ coefficients
        return np.sum(np.logaddexp(0, logit) - data.preferences * logit)

    expected = optimize.minimize(loss, np.zeros(3)).x
    fit = length_controlled_win_rate(data)
    found = [fit.length_effect, fit.difficulty_effect, fit.model_effect]
    assert found == pytest.approx(expected, abs=1e-4)


def test_regularising_rows_count_by_their_weight():
    rng = np.random.default_rng(35)
    data, further = study(rng, 100), study(rng, 100, effect=-2.0, model=0.0)
    effects = [
        length_controlled_win_rate(
            data,
            regularisation=LengthData(
                preferences=further.preferences,
                tanh_length=further.tanh_length,
                difficulty=further.difficulty,
                weight=weight,
            ),
        ).length_effect
        for weight in (0.0, 0.1, 1.0, 100.0)
    ]
    assert effects == sorted(effects, reverse=True)
    assert effects[0] == pytest.approx(length_controlled_win_rate(data).length_effect)


@pytest.mark.parametrize(("model", "difficulty_sd"), [(0.0, 3.0), (-2.5, 0.8)])
def test_interval_covers_the_rate_at_equal_length(model, difficulty_sd):
    rng, hits = np.random.default_rng(36), []
    truth = special.expit(rng.normal(0, difficulty_sd, 400_000) + model).mean()
    for _ in range(400):
        data = study(rng, 250, model=model, difficulty_sd=difficulty_sd)
        estimate = length_controlled_win_rate(data).estimate
        hits.append(estimate.low <= truth <= estimate.high)
    assert 0.925 <= np.mean(hits) <= 0.975


def test_longer_answers_lose_their_advantage():
    data = study(np.random.default_rng(37), 2000, effect=2.0, model=0.0)
    assert length_controlled_win_rate(data).estimate.value < data.preferences.mean() - 0.05


def test_unknown_difficulty_is_left_out():
    rng = np.random.default_rng(38)
    lengths = rng.integers(100, 2000, (2, 60))
    data = LengthData.from_lengths(rng.random(60), lengths[0], lengths[1])
    assert length_controlled_win_rate(data).difficulty_effect == 0.0


def test_model_that_never_wins_has_no_interval():
    data = LengthData.from_lengths(np.zeros(50), np.arange(50.0), np.full(50, 20.0))
    estimate = length_controlled_win_rate(data).estimate
    assert estimate.value < 0.01
    assert (estimate.low, estimate.high) == (0.0, 1.0)


def test_draws_only_have_a_width():
    data = LengthData.from_lengths(np.full(400, 0.5), np.arange(400.0), np.full(400, 90.0))
    estimate = length_controlled_win_rate(data).estimate
    assert 0.49 < estimate.low < 0.499 < 0.501 < estimate.high < 0.51


def test_no_preferences_are_refused():
    empty = np.array([])
    with pytest.raises(InputError, match="at least one preference"):
        length_controlled_win_rate(
            LengthData(preferences=empty, tanh_length=empty, difficulty=empty)
        )


def test_preferences_outside_their_range_are_refused():
    with pytest.raises(InputError, match="preferences must lie between 0 and 1"):
        baseline_win_rate(np.array([1.5]))


def test_baseline_win_rate_counts_draws_as_half():
    summary = baseline_win_rate(np.array([0.9, 0.5, 0.1, 0.2]))
    assert (summary.n_wins, summary.n_draws, summary.n_wins_base) == (1, 1, 2)
    assert summary.discrete_win_rate == 0.375
    assert math.isnan(baseline_win_rate(np.array([])).win_rate)
