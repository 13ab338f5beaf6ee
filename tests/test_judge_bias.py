"""A judge's biases: recovered where they are known, and named where they can't be."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.judges.bias.agreement import agreement_with_people
from evalcore.judges.bias.calibration import calibrated, calibration
from evalcore.judges.bias.pairs import JudgedPair, JudgedPairs
from evalcore.judges.bias.position import consistency, one_order_pairs, position_bias
from evalcore.judges.bias.regression import fit, within
from evalcore.judges.bias.self_preference import self_preference
from evalcore.judges.bias.simulation import SimulatedJudge, SimulatedStudy, simulate
from evalcore.judges.bias.style import longer_wins, style_effects
from evalcore.judges.bias.ties import tie_shares
from evalcore.records import Estimate
from evalcore.stats.labels import Labels

BIASED = SimulatedJudge(position=0.06, length=0.04, self_preference=0.05)


def judged(*rows):
    """Verdicts of model x against model y: example, place of x, score of x."""
    return JudgedPairs.from_rows(
        JudgedPair(example=example, model_a="x", model_b="y", place=place, score_a=score)
        for example, place, score in rows
    )


@pytest.mark.parametrize("both_orders", [True, False])
def test_known_biases_are_recovered_within_their_intervals(both_orders):
    rng, hits = np.random.default_rng(81), {"position": [], "length": [], "self": []}
    study = SimulatedStudy(n_examples=60, both_orders=both_orders)
    for _ in range(200):
        pairs, own = simulate(BIASED, study, rng)
        found = {
            "position": (position_bias(pairs), BIASED.position),
            "length": (style_effects(pairs)[0].beyond_humans, BIASED.length),
            "self": (self_preference(pairs, own).at_equal_style, BIASED.self_preference),
        }
        for name, (estimate, truth) in found.items():
            hits[name].append(estimate.low <= truth <= estimate.high)
    assert all(0.92 <= np.mean(hit) <= 0.99 for hit in hits.values()), hits


def test_without_people_merit_passes_for_a_preference_for_length():
    pairs, _ = simulate(
        SimulatedJudge(), SimulatedStudy(n_examples=2000), np.random.default_rng(82)
    )
    effect = style_effects(pairs)[0]
    assert effect.effect.low > 0.01
    assert effect.beyond_humans.low < 0 < effect.beyond_humans.high


def test_own_answers_are_longer_but_not_preferred_at_equal_style():
    rng = np.random.default_rng(83)
    study = SimulatedStudy(n_examples=4000, both_orders=False)
    pairs, own = simulate(SimulatedJudge(length=0.06), study, rng)
    found = self_preference(pairs, own)
    assert found.effect.value > found.at_equal_style.value + 0.004
    assert found.at_equal_style.low < 0 < found.at_equal_style.high


def test_position_bias_is_the_first_places_win_rate_minus_one_half():
    rows = [
        (str(k), place, float(place == 1 or k % 4 == 0)) for k in range(40) for place in (1, -1)
    ]
    pairs = judged(*rows)
    first = [score if place == 1 else 1 - score for _, place, score in rows]
    assert position_bias(pairs).value == pytest.approx(np.mean(first) - 0.5)
    agreed = consistency(pairs)
    assert (agreed.share.value, agreed.n_to_first, agreed.n_to_second) == (0.25, 30, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_judge_who_looks_at_the_place_alone_has_an_interval_of_some_width(sign):
    rows = [(str(k), place, 0.5 + sign * place / 2) for k in range(20) for place in (1, -1)]
    found = position_bias(judged(*rows))
    assert found.value == pytest.approx(sign / 2)
    assert 0.01 < found.high - found.low < 0.3


def test_one_order_tells_nothing_of_the_place():
    pairs = judged(*[(str(k), 1, float(k % 3 == 0)) for k in range(30)])
    found = position_bias(pairs)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (-0.5, 0.5)
    assert one_order_pairs(pairs) == [("x", "y", 30)]
    assert consistency(pairs).share.n == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from([1, -1]),
            st.sampled_from([0.0, 0.5, 1.0, math.nan]),
        ),
        max_size=30,
    )
)
def test_names_of_the_models_do_not_count(rows):
    turned = JudgedPairs.from_rows(
        JudgedPair(example=str(e), model_a="b", model_b="a", place=p, score_a=s) for e, p, s in rows
    )
    straight = JudgedPairs.from_rows(
        JudgedPair(example=str(e), model_a="a", model_b="b", place=p, score_a=s) for e, p, s in rows
    )
    one, other = position_bias(straight), position_bias(turned)
    assert one.value == pytest.approx(other.value, nan_ok=True)
    assert consistency(straight) == consistency(turned)
    assert one.n == sum(not math.isnan(score) for _, _, score in rows)


def test_no_verdicts_at_all():
    none = JudgedPairs.from_rows([])
    assert math.isnan(position_bias(none).value)
    assert consistency(none).share.n == 0
    assert style_effects(none) == ()
    assert longer_wins(none) is None
    assert calibration(none) is None
    assert self_preference(none, ["x"]) is None


def test_coefficients_and_errors_equal_leaving_out_each_cluster_by_hand():
    rng = np.random.default_rng(84)
    design, clusters = rng.normal(size=(60, 3)), np.repeat(np.arange(15), 4)
    target = design @ [0.3, -0.2, 0.0] + rng.normal(size=60)
    found = fit(design, target, clusters)

    def solved(kept):
        return np.linalg.lstsq(design[kept], target[kept], rcond=None)[0]

    whole = solved(np.ones(60, bool))
    without = np.array([solved(clusters != k) for k in range(15)])
    assert found.coefficients == pytest.approx(whole)
    assert found.variances == pytest.approx(14 / 15 * ((without - whole) ** 2).sum(axis=0))


def test_what_the_columns_before_determine_has_no_coefficient():
    x = np.array([1.0, 2.0, 3.0, 5.0])
    found = fit(np.column_stack([x, 2 * x, np.ones(4)]), x, np.arange(4))
    assert math.isnan(found.coefficients[1])
    assert found.coefficients[[0, 2]] == pytest.approx([1.0, 0.0], abs=1e-9)


def test_within_groups_means_are_zero():
    values = within(np.array([[1.0], [3.0], [10.0]]), np.array([0, 0, 1]))
    assert values.tolist() == [[-1.0], [1.0], [0.0]]


def test_longer_answers_win_for_the_judge_and_for_people():
    pairs = judged(("1", 1, 1.0), ("2", 1, 1.0), ("3", 1, 0.0), ("4", 1, 1.0))
    lengths = np.array([[9.0, 5.0], [9.0, 5.0], [4.0, 8.0], [3.0, 3.0]])
    pairs = replace(
        pairs, features={"length": lengths}, reference=np.array([1.0, 0.0, math.nan, 1.0])
    )
    found = longer_wins(pairs)
    assert (found.judge.value, found.judge.n) == (1.0, 3)
    assert (found.humans.value, found.humans.n) == (0.5, 2)


def test_calibration_finds_what_a_lead_is_worth():
    rng = np.random.default_rng(86)
    score = rng.uniform(0, 1, 3000)
    people = (rng.random(3000) < 0.5 + 0.6 * (score - 0.5)).astype(float)
    pairs = judged(*[(str(k), 1, value) for k, value in enumerate(score)])
    found = calibration(replace(pairs, reference=people))
    assert found.slope.low < 0.6 < found.slope.high
    assert found.slope.high - found.slope.low < 0.2
    last = found.bins[-1]
    assert last.people.low < 0.5 + 0.6 * (last.judge - 0.5) < last.people.high


def test_calibrated_rate_shrinks_to_one_half():
    def estimate(value, low, high):
        return Estimate(
            value=value, low=low, high=high, confidence_level=0.95, method="test", n=100
        )

    found = calibrated(estimate(0.8, 0.7, 0.9), estimate(0.5, 0.4, 0.6))
    assert found.value == pytest.approx(0.65)
    half = math.hypot(0.5 * 0.1, 0.3 * 0.1)
    assert (found.low, found.high) == pytest.approx((0.65 - half, 0.65 + half))


def labels(*rows):
    units, raters, given_labels = zip(*rows, strict=True)
    return Labels(units=np.array(units), raters=np.array(raters), labels=np.array(given_labels))


def test_ties_beside_people():
    rows = [(k, "judge", "model_a") for k in range(20)]
    rows += [(k, "ann", "tie" if k % 2 else "model_a") for k in range(20)]
    found = tie_shares(labels(*rows), "judge", ["ann"])
    assert (found.judge.value, found.people.value, found.difference.value) == (0.0, 0.5, -0.5)
    assert found.difference.high < 0


def test_agreement_by_category_and_between_people():
    rows = [(k, "judge", "model_a") for k in range(40)]
    rows += [(k, "ann", "model_a" if k < 20 else "model_b") for k in range(40)]
    rows += [(k, "bob", "model_a") for k in range(0, 40, 4)]
    categories = {k: "maths" if k < 20 else "prose" for k in range(40)}
    found = agreement_with_people(labels(*rows), "judge", ["ann", "bob"], categories=categories)
    assert found.by_category["maths"].share.value == 1.0
    assert found.by_category["prose"].share.value == pytest.approx(5 / 25)
    assert found.between_people.share.value == 0.5


def test_agreement_without_common_answers():
    rows = [(1, "judge", "model_a"), (2, "ann", "model_a")]
    assert agreement_with_people(labels(*rows), "judge", ["ann"]) is None
