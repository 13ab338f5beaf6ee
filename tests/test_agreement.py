import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import InputError, VotesError
from evalcore.stats.agreement import (
    agreement_with_rest,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    raw_agreement,
)
from evalcore.stats.dawid_skene import dawid_skene
from evalcore.stats.intervals import share_interval
from evalcore.stats.labels import Labels, pair_labels
from evalcore.votes import Votes

WINNERS = ["model_a", "model_b", "tie"]
FLIP = {"model_a": "model_b", "model_b": "model_a", "tie": "tie"}
label_pairs = st.lists(
    st.tuples(st.sampled_from(WINNERS), st.sampled_from(WINNERS), st.booleans()), min_size=2
)


def table_of(labels):
    """Labels from rows of raters by units; None where a rater gave no label."""
    cells = [
        (unit, rater, label)
        for rater, row in enumerate(labels)
        for unit, label in enumerate(row)
        if label is not None
    ]
    units, raters, given_labels = (np.array(column) for column in zip(*cells, strict=True))
    return Labels(units=units, raters=raters, labels=given_labels)


def noisy_raters(rng, truth, accuracies):
    """Labels 0 to 2, right with each rater's accuracy, else either other one."""
    shape = len(accuracies), len(truth)
    wrong = (truth + rng.integers(1, 3, size=shape)) % 3
    return np.where(rng.random(shape) < np.array(accuracies)[:, None], truth, wrong)


def test_cohen_kappa_equals_worked_example():
    """Cohen (1960): p_o = .7 and p_e = .5 from a table of 20, 5, 10, 15 give .4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second).value == pytest.approx(0.4)


def test_fleiss_kappa_equals_published_example():
    """Fleiss (1971) layout of 10 subjects, 14 raters, 5 categories: kappa = .210."""
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    rows = np.array([np.repeat(range(5), row) for row in counts])
    assert fleiss_kappa(table_of(rows.T.tolist())).value == pytest.approx(0.210, abs=5e-4)


def test_krippendorff_alpha_equals_published_example():
    """Krippendorff (2011), section C: four observers, twelve units, nominal alpha = .743."""
    labels = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    estimate = krippendorff_alpha(table_of(labels))
    assert estimate.value == pytest.approx(0.743, abs=5e-4)
    assert (estimate.n, estimate.n_unscored) == (11, 1)


@given(label_pairs)
def test_symmetric_kappa_does_not_depend_on_which_model_is_called_a(cases):
    first, second, flipped = zip(*cases, strict=True)
    renamed = [
        [FLIP[label] if flip else label for label, flip in zip(labels, flipped, strict=True)]
        for labels in (first, second)
    ]
    before = cohen_kappa(first, second, symmetric=True)
    after = cohen_kappa(*renamed, symmetric=True)
    assert after.value == pytest.approx(before.value, nan_ok=True)
    assert after.low == pytest.approx(before.low)


@pytest.mark.parametrize("statistic", [fleiss_kappa, krippendorff_alpha])
def test_symmetric_coefficients_survive_renaming(statistic):
    rng = np.random.default_rng(23)
    labels = rng.choice(WINNERS, size=(3, 40), p=[0.7, 0.2, 0.1])
    flipped = rng.random(40) < 0.5
    renamed = np.where(flipped, np.vectorize(FLIP.get)(labels), labels)
    before, after = (statistic(table_of(x.tolist()), symmetric=True) for x in (labels, renamed))
    assert after.value == pytest.approx(before.value)
    assert after.high == pytest.approx(before.high)


def test_symmetric_kappa_is_that_of_the_data_with_both_namings():
    first, second = ["model_a"] * 8 + ["tie"] * 3, ["model_a"] * 6 + ["model_b"] * 3 + ["tie"] * 2
    doubled = [labels + [FLIP[label] for label in labels] for labels in (first, second)]
    expected = cohen_kappa(*doubled).value
    assert cohen_kappa(first, second, symmetric=True).value == pytest.approx(expected)


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.97])
def test_kappa_intervals_cover(accuracy):
    rng, hits = np.random.default_rng(24), []
    wrong = (1 - accuracy) / 2
    agree = accuracy**2 + 2 * wrong**2
    truth = (agree - 1 / 3) / (2 / 3)
    for _ in range(500):
        ratings = noisy_raters(rng, rng.integers(0, 3, 120), [accuracy] * 3)
        pair, three = cohen_kappa(ratings[0], ratings[1]), fleiss_kappa(table_of(ratings.tolist()))
        hits.append([e.low <= truth <= e.high for e in (pair, three)])
    assert np.all(np.mean(hits, axis=0) >= 0.925)
    assert np.all(np.mean(hits, axis=0) <= 0.975)


def test_kappa_interval_is_made_of_leaving_out_each_unit():
    first, second = np.array(list("aabbabab")), np.array(list("aabbabba"))
    estimate = cohen_kappa(first, second)
    without = [cohen_kappa(np.delete(first, i), np.delete(second, i)).value for i in range(8)]
    variance = 7 / 8 * np.sum((np.array(without) - np.mean(without)) ** 2)
    low, high = share_interval((1 + estimate.value) / 2, variance / 4, df=7)
    assert (estimate.low, estimate.high) == pytest.approx((2 * low - 1, 2 * high - 1))


def test_perfect_agreement_still_has_a_width():
    estimate = cohen_kappa(["tie", "model_a"] * 20, ["tie", "model_a"] * 20)
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert 0.7 < estimate.low < 1.0


@pytest.mark.parametrize("labels", [[], ["tie"] * 5])
def test_kappa_of_nothing_or_one_label_is_nan(labels):
    estimate = cohen_kappa(labels, labels)
    assert math.isnan(estimate.value)
    assert (estimate.low, estimate.high) == (-1.0, 1.0)


def test_groups_widen_the_interval_of_agreement():
    first, second = ["tie", "model_a", "model_b"] * 40, ["tie", "model_a", "tie"] * 40
    groups = np.repeat(range(12), 10)
    alone, grouped = raw_agreement(first, second), raw_agreement(first, second, groups=groups)
    assert alone.value == grouped.value == pytest.approx(2 / 3)


def test_rater_at_odds_with_the_rest_stands_out():
    rng = np.random.default_rng(25)
    ratings = table_of(noisy_raters(rng, rng.integers(0, 3, 200), [0.9, 0.9, 0.9, 0.33]).tolist())
    agreement = agreement_with_rest(ratings)
    assert agreement[3].high < min(agreement[rater].low for rater in range(3))


def test_pairs_of_votes_are_made_within_and_between_groups():
    ratings = table_of([["a", "b"], ["a", None], ["c", "b"]])
    first, second, units = pair_labels(ratings, [0, 1], [2])
    assert sorted(zip(units, first, second, strict=True)) == [
        *[(0, "a", "c"), (0, "a", "c"), (1, "b", "b")]
    ]
    assert len(pair_labels(ratings, [0, 1])[0]) == 1


def test_labels_of_votes_follow_the_models_and_not_the_columns():
    columns = {
        "model_a": ["x", "y", "x"],
        "model_b": ["y", "x", "y"],
        "winner": ["model_a", "model_b", "both_bad"],
        "rater": ["r", "s", "r"],
        "example_id": ["1", "1", "1"],
    }
    ratings = Labels.from_votes(Votes.from_columns(columns))
    assert ratings.labels.tolist() == ["model_a", "model_a"]  # r's second vote is left out


def test_votes_without_raters_are_refused():
    votes = Votes.from_columns({"model_a": ["x"], "model_b": ["y"], "winner": ["tie"]})
    with pytest.raises(VotesError, match="needs rater and example_id"):
        Labels.from_votes(votes)


def test_rater_who_labels_a_unit_twice_is_refused():
    with pytest.raises(InputError, match="at most once"):
        Labels(units=np.array([1, 1]), raters=np.array([1, 1]), labels=np.array([0, 1]))


def test_dawid_skene_recovers_raters_and_beats_the_majority():
    rng = np.random.default_rng(26)
    truth, accuracies = rng.integers(0, 3, 1500), [0.95, 0.9, 0.6, 0.5, 0.4, 0.4]
    labels = noisy_raters(rng, truth, accuracies)
    consensus = dawid_skene(table_of(labels.tolist()))
    assert consensus.converged
    assert consensus.accuracy == pytest.approx(accuracies, abs=0.04)
    majority = np.array([np.bincount(column, minlength=3).argmax() for column in labels.T])
    found = consensus.posterior.argmax(axis=1)
    assert np.mean(found == truth) > np.mean(majority == truth) + 0.05


def test_dawid_skene_likelihood_never_falls():
    rng = np.random.default_rng(27)
    ratings = table_of(noisy_raters(rng, rng.integers(0, 3, 60), [0.8, 0.6, 0.5]).tolist())
    steps = [
        dawid_skene(ratings, smoothing=0.0, max_iterations=n).log_likelihood for n in range(1, 15)
    ]
    assert np.all(np.diff(steps) >= -1e-9)


def test_dawid_skene_posterior_equals_the_model_by_hand():
    rng = np.random.default_rng(28)
    labels = noisy_raters(rng, rng.integers(0, 3, 30), [0.9, 0.7, 0.6])
    fit = dawid_skene(table_of(labels.tolist()))
    joint = [
        fit.prevalence[k] * math.prod(fit.confusion[r, k, labels[r, 4]] for r in range(3))
        for k in range(3)
    ]
    assert fit.posterior[4] == pytest.approx(np.array(joint) / sum(joint), abs=1e-5)


def test_dawid_skene_of_nothing_is_refused():
    empty = np.array([])
    with pytest.raises(InputError, match="at least one label"):
        dawid_skene(Labels(units=empty, raters=empty, labels=empty))


def test_dawid_skene_without_smoothing_takes_whole_numbers():
    units, raters = np.repeat(np.arange(20), 3), np.tile(np.arange(3), 20)
    labels = np.random.default_rng(0).integers(0, 2, 60)
    given = Labels(units=units, raters=raters, labels=labels)
    whole, real = dawid_skene(given, smoothing=0), dawid_skene(given, smoothing=0.0)
    np.testing.assert_array_equal(whole.confusion, real.confusion)


def test_coefficient_that_one_unit_decides_says_so():
    """Without the one unit that differs only one label is left, and no coefficient."""
    found = cohen_kappa(["a", "b"], ["a", "b"])
    assert (found.value, found.low, found.high) == (1.0, -1.0, 1.0)
