import numpy as np
import pytest

from evalcore.errors import InputError
from evalcore.stats.scaling import scaling_law

# Training compute and cross-entropy on the Pile's test set of Cerebras-GPT, 111M to 13B: the
# evaluation table of its model card; the law L(f) = (f / 5.984e22)^-0.0737 + 0.5066 is the paper's
# (Dey et al. 2023, section 3.1).
FLOPS = np.array([2.6e18, 1.3e19, 6.1e19, 2.8e20, 1.1e21, 6.3e21, 2.3e22])
LOSS = np.array([2.566, 2.299, 2.184, 1.996, 1.834, 1.704, 1.575])


def published(flops):
    return (flops / 5.984e22) ** -0.0737 + 0.5066


def test_law_of_cerebras_gpt_agrees_with_the_published_one():
    law = scaling_law(FLOPS, LOSS, floor=True)
    assert law(FLOPS) == pytest.approx(published(FLOPS), rel=0.025)
    assert law.exponent.low < 0.0737 < law.exponent.high
    assert law.floor.low < 0.5066 < law.floor.high


def test_law_without_floor_is_the_line_in_logarithms():
    law = scaling_law(FLOPS, LOSS)
    slope, height = np.polyfit(np.log(FLOPS), np.log(LOSS), 1)
    assert law.exponent.value == pytest.approx(-slope)
    assert law.scale == pytest.approx(np.exp(height), rel=1e-9)


def test_exact_law_with_a_floor_is_found_again():
    sizes = np.geomspace(1e7, 1e11, 9)
    law = scaling_law(sizes, 40.0 * sizes**-0.2 + 1.7, floor=True)
    assert law.exponent.value == pytest.approx(0.2, rel=1e-5)
    assert law.floor.value == pytest.approx(1.7, rel=1e-5)
    assert law.scale == pytest.approx(40.0, rel=1e-4)


@pytest.mark.parametrize("floor", [False, True])
def test_intervals_hold_the_truth_as_often_as_they_say(floor):
    rng = np.random.default_rng(1)
    sizes, hits = np.geomspace(1e7, 1e11, 10), []
    truth = 40.0 * sizes**-0.2 + (1.0 if floor else 0.0)
    for _ in range(300):
        losses = truth * np.exp(rng.normal(0.0, 0.01, len(sizes)))
        law = scaling_law(sizes, losses, floor=floor)
        low, high = law.interval([3e8])
        at = 40.0 * 3e8**-0.2 + (1.0 if floor else 0.0)
        hits.append((law.exponent.low < 0.2 < law.exponent.high, low[0] < at < high[0]))
    exponent, line = np.mean(hits, axis=0)
    assert 0.92 <= exponent <= 0.98
    assert 0.92 <= line <= 0.98


@pytest.mark.parametrize("floor", [False, True])
def test_law_needs_more_sizes_than_parameters(floor):
    n = 3 if floor else 2
    with pytest.raises(InputError, match=f"models of {n + 1} sizes; got {n}"):
        scaling_law([1e8, 1e9, 1e10][:n] * 2, [3.0, 2.0, 1.5][:n] * 2, floor=floor)


def test_losses_that_are_not_positive_are_refused_and_nan_is_left_out():
    with pytest.raises(InputError, match="positive"):
        scaling_law([1.0, 2.0, 3.0], [1.0, 0.0, 1.0])
    assert scaling_law([1.0, 2.0, 3.0, 4.0], [4.0, 2.0, np.nan, 1.0]).n == 3
