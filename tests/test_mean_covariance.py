import numpy as np
import pytest

from evalcore.stats.likely_ranks import rank_probabilities
from evalcore.stats.mean_covariance import Stratum, mean_covariance


def test_covariance_of_one_stratum_is_the_sample_covariance_over_n():
    values = np.random.default_rng(0).normal(size=(3, 50))
    found = mean_covariance([Stratum(values=values, weights=np.ones_like(values))])
    assert found.covariance == pytest.approx(np.cov(values) / 50)
    assert found.df == pytest.approx([49.0] * 3)


def test_strata_count_the_same_whatever_their_size():
    small, large = np.eye(2)[:, [0, 1]], np.tile([[1.0], [0.0]], 40)
    strata = [Stratum(values=v, weights=np.ones_like(v)) for v in (small, large)]
    assert mean_covariance(strata).means == pytest.approx([0.75, 0.25])


def test_repeating_every_example_in_its_group_changes_nothing():
    values = np.random.default_rng(0).normal(size=(2, 20))
    once = mean_covariance([Stratum(values=values, weights=np.ones_like(values))])
    twice = np.repeat(values, 2, axis=1)
    groups = [str(place // 2) for place in range(40)]
    again = mean_covariance([Stratum(values=twice, weights=np.ones_like(twice), groups=groups)])
    assert again.covariance == pytest.approx(once.covariance)


def test_unscored_examples_are_left_out_of_a_models_mean():
    values = np.array([[1.0, 0.0, np.nan, np.nan], [1.0, 0.0, 1.0, 0.0]])
    found = mean_covariance([Stratum(values=values, weights=np.ones_like(values))])
    assert found.means == pytest.approx([0.5, 0.5])


def test_single_example_gives_no_covariance():
    one = np.ones((2, 1))
    found = mean_covariance([Stratum(values=one, weights=one)])
    assert np.isnan(found.covariance).all()
    assert found.df.tolist() == [0.0, 0.0]


def test_rank_probabilities_of_equal_models_are_even_and_sum_to_one():
    chances = rank_probabilities(
        np.zeros(4), np.eye(4), df=np.full(4, 99.0), rng=np.random.default_rng(0)
    )
    assert chances == pytest.approx(np.full((4, 4), 0.25), abs=0.04)
    assert chances.sum(axis=0) == pytest.approx(np.ones(4))
    assert chances.sum(axis=1) == pytest.approx(np.ones(4))


def test_ranks_said_to_be_probable_are_true_as_often():
    rng = np.random.default_rng(2)
    said, true = [], []
    for _ in range(150):
        strengths = rng.normal(size=8)
        estimates = strengths + rng.normal(scale=0.7, size=8)
        chances = rank_probabilities(
            estimates, 0.49 * np.eye(8), df=np.full(8, 500.0), n_draws=500, rng=rng
        )
        ranks = np.argsort(np.argsort(-strengths))
        said.append(chances.ravel())
        true.append(np.eye(8)[ranks].ravel())
    chances, hits = np.concatenate(said), np.concatenate(true)
    for low, high in ((0.05, 0.2), (0.2, 0.4), (0.4, 0.7), (0.7, 1.01)):
        chosen = (chances >= low) & (chances < high)
        assert hits[chosen].mean() == pytest.approx(chances[chosen].mean(), abs=0.06)
