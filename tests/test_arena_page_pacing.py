"""Speed does not say who is speaking."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from arena.page.pacing import Pacer, Pacing, Written

PACING = Pacing()


def writer(length: int, *, rate: float, first_s: float = 0.3, seed: int = 0):
    """Return an answer's progress over time: a first token's wait, then a rate with jitter."""
    rng = random.Random(seed)
    moments, now = [], first_s
    for _ in range(length):
        moments.append(now)
        now += rng.expovariate(rate)

    def at(now_s: float) -> Written:
        n = sum(moment <= now_s for moment in moments)
        return Written(n_characters=n, is_complete=n == length)

    return at


def show(*answers: Callable[[float], Written]) -> list[int]:
    """Return the position at each tick until all is shown."""
    pacer, positions = Pacer(PACING), []
    for tick in range(3000):
        written = [answer(tick * PACING.tick_s) for answer in answers]
        positions.append(pacer.advance(tick * PACING.tick_s, written))
        if pacer.is_over(written):
            return positions
    raise AssertionError("never over")


def steps(positions: list[int], *, after: int) -> list[int]:
    """Return what was added in each tick once `after` characters were passed, but the last."""
    return [b - a for a, b in pairwise(positions[:-1]) if a >= after]


@given(st.permutations([(120, 40.0), (300, 90.0), (200, 25.0)]))
def test_order_of_the_answers_changes_nothing(answers: list[tuple[int, float]]):
    shown = show(*(writer(n, rate=rate, seed=n) for n, rate in answers))
    assert shown == show(*(writer(n, rate=r, seed=n) for n, r in sorted(answers)))


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=30))
def test_position_never_goes_back_nor_past_what_is_written(moments: list[tuple[int, bool]]):
    pacer, before = Pacer(PACING), 0
    for tick, (n, is_complete) in enumerate(moments):
        slow = Written(n_characters=max(n, before), is_complete=False)
        fast = Written(n_characters=400, is_complete=is_complete)
        position = pacer.advance(float(tick), [slow, fast])
        assert before <= position <= slow.n_characters
        before = position


def test_nothing_is_shown_before_the_slower_one_has_its_head_start():
    pacer = Pacer(PACING)
    fast = Written(n_characters=500, is_complete=True)
    for now_s, n in ((0.0, 0), (1.0, PACING.head_start - 1)):
        slow = Written(n_characters=n, is_complete=False)
        assert pacer.advance(now_s, [fast, slow]) == 0


def test_waiting_for_a_first_word_does_not_slow_the_page_down():
    def late(now_s: float) -> Written:
        n = min(max(int((now_s - 30.0) * 100), 0), 500)
        return Written(n_characters=n, is_complete=n == 500)

    n_ticks = sum(position > 0 for position in show(late, late))
    assert n_ticks * PACING.tick_s < 8.0


def test_stored_answers_are_shown_at_the_fastest_pace():
    pacer, done = Pacer(PACING), Written(n_characters=100, is_complete=True)
    assert pacer.advance(0.0, [done, done]) == 0
    assert pacer.advance(0.25, [done, done]) == 60
    assert pacer.advance(9.0, [done, done]) == 100
    assert pacer.is_over([done, done])


def test_no_answers_are_over_at_once():
    pacer = Pacer(PACING)
    assert pacer.advance(0.0, []) == 0
    assert pacer.is_over([])


@pytest.mark.parametrize("seed", range(5))
def test_the_longer_answer_goes_on_alike_whether_its_model_is_fast_or_slow(seed: int):
    """After the shorter one's end, only one model writes: its rhythm must not come through."""
    short, long = 250, 700
    slow_is_long = show(
        writer(short, rate=120.0, seed=seed), writer(long, rate=30.0, first_s=1.5, seed=seed + 50)
    )
    fast_is_long = show(
        writer(short, rate=30.0, first_s=1.5, seed=seed + 50), writer(long, rate=120.0, seed=seed)
    )
    first, second = steps(slow_is_long, after=short), steps(fast_is_long, after=short)
    assert ks_2samp(first, second).pvalue > 0.01
