"""All pairs at once say what each pair says by itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from evalcore.stats.paired import paired_difference, stratified_difference
from evalcore.stats.pairwise import Values, macro_p_values, mcnemar_p_values
from evalcore.stats.pairwise_differences import binary_differences, stratified_differences
from evalcore.stats.trinomial import tango_interval, tango_intervals

N_MODELS = 7


def binary(seed: int, *, n_examples: int = 40) -> np.ndarray:
    """Values with unscored ones, two models alike, one all right, one all wrong, one unscored."""
    rng = np.random.default_rng(seed)
    values = (rng.random((N_MODELS, n_examples)) < 0.6).astype(float)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[1] = values[0]
    values[2], values[3], values[4] = 1.0, 0.0, np.nan
    return values


def shares(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).random((N_MODELS, 25)).round(2)
    values[0, :5] = np.nan
    values[1:3] = values[1:3].round()
    return values


def assert_same(one_by_one, together):
    for expected, found in zip(one_by_one, together, strict=True):
        for name in ("value", "low", "high"):
            numbers = getattr(found.difference, name), getattr(expected.difference, name)
            assert numbers[0] == pytest.approx(numbers[1], abs=1e-9, nan_ok=True)
        for name in ("confidence_level", "method", "n", "n_unscored"):
            assert getattr(found.difference, name) == getattr(expected.difference, name)
        assert found.p_value == pytest.approx(expected.p_value, abs=1e-12)
        for name in ("test", "n_pairs", "wins", "ties", "losses"):
            assert getattr(found, name) == getattr(expected, name)


def test_binary_differences_are_those_of_each_pair():
    values = binary(0)
    together = binary_differences(Values(values=values), mcnemar_p_values(values), level=0.9)
    assert_same((paired_difference(a, b, level=0.9) for a, b in combinations(values, 2)), together)


@pytest.mark.parametrize(
    "tasks",
    [[binary(0), binary(1, n_examples=9)], [shares(0)], [shares(1), binary(2), shares(3)]],
    ids=["binary", "one task", "mixed"],
)
def test_stratified_differences_are_those_of_each_pair(tasks):
    tables = [Values(values=values) for values in tasks]
    together = stratified_differences(tables, macro_p_values(tables), level=0.95)
    one_by_one = (
        stratified_difference([(values[a], values[b], None) for values in tasks])
        for a, b in combinations(range(N_MODELS), 2)
    )
    assert_same(one_by_one, together)


def test_stratified_differences_of_tasks_with_one_example_have_no_interval():
    tables = [Values(values=np.array([[1.0], [0.0]]))]
    (found,) = stratified_differences(tables, macro_p_values(tables), level=0.95)
    assert found.difference.value == 1.0
    assert np.isinf([found.difference.low, found.difference.high]).all()


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_tango_intervals_are_those_of_each_cell(level):
    cells = [(b, c, n) for n in (0, 1, 2, 7, 40) for b in range(n + 1) for c in range(n - b + 1)]
    rng = np.random.default_rng(0)
    few = np.array(cells, float)[rng.choice(len(cells), 150, replace=False)]
    few = np.concatenate(
        [few, np.array(cells[:20], float), [[0, 0, 400], [400, 0, 400], [9, 150, 400]]]
    )
    low, high = tango_intervals(*few.T, level=level)
    expected = np.array([tango_interval(*cell, level=level) for cell in few])
    np.testing.assert_allclose(np.stack([low, high], axis=1), expected, atol=2e-9)
