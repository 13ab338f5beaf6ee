"""Rates, back-off and budgets, without a server."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import InputError
from runners.endpoint.budget import Budget
from runners.endpoint.failures import backoff_s, retry_after_s
from runners.endpoint.limits import Pace
from runners.endpoint.stub import StubReply, read_recorded


def starts(pace: Pace, n: int) -> list[float]:
    async def take_all() -> list[float]:
        clock = asyncio.get_running_loop().time
        begin = clock()

        async def one() -> float:
            await pace.take()
            return clock() - begin

        return sorted(await asyncio.gather(*(one() for _ in range(n))))

    return asyncio.run(take_all())


def test_a_pace_spaces_calls_evenly_and_loses_nothing_to_late_ones():
    begun = starts(Pace(6000), 30)
    assert all(at >= number * 0.01 - 1e-3 for number, at in enumerate(begun))
    assert begun[-1] >= 0.29 - 1e-3


def test_no_limit_lets_all_begin_at_once():
    assert starts(Pace(), 1000)[-1] < 5.0


def test_what_was_not_used_is_there_for_the_next():
    async def second_waits_s() -> float:
        pace = Pace(60)
        await pace.take(0.5)
        pace.give_back(0.5)
        begin = asyncio.get_running_loop().time()
        await pace.take()
        return asyncio.get_running_loop().time() - begin

    assert asyncio.run(second_waits_s()) < 0.4


@given(st.integers(0, 50), st.none() | st.floats(0, 100), st.integers())
def test_backoff_grows_is_bounded_and_never_less_than_asked(attempt, wait_s, seed):
    waited = backoff_s(attempt, wait_s, random.Random(seed))
    assert 0.25 * min(2**attempt, 120) <= waited <= 60 + (wait_s or 0)
    assert waited >= (wait_s or 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_retry_after_may_be_a_date():
    later = datetime.now(UTC) + timedelta(seconds=60)
    waited = retry_after_s({"retry-after": format_datetime(later, usegmt=True)})
    assert waited == pytest.approx(60, abs=5)
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=30))
def test_a_budget_holds_whatever_is_in_flight(calls):
    budget, flying = Budget(3.0), []
    for most, share in calls:
        if budget.reserve(most):
            flying.append((most, most * share))
        elif flying:
            budget.settle(*flying.pop())
        reserved = sum(most for most, _ in flying)
        assert budget.spent_usd + reserved <= 3.0 + 1e-9


@pytest.mark.parametrize("max_usd", [-1.0, float("nan")])
def test_a_budget_must_be_an_amount(max_usd: float):
    with pytest.raises(InputError, match="max_usd must be at least 0"):
        Budget(max_usd)


def test_recorded_verdicts_are_read_in_both_forms(tmp_path):
    file = tmp_path / "verdicts.jsonl"
    file.write_text(
        '{"prompt": "p", "text": "[[A]]", "first_token_logprobs": {"A": -0.1}}\n\n'
        '{"g1_user_prompt": "q", "g1_judgment": "x", "g2_user_prompt": "r", "g2_judgment": "y"}\n'
    )
    assert read_recorded(file) == {
        "p": StubReply(text="[[A]]", first_token_logprobs={"A": -0.1}),
        "q": StubReply(text="x"),
        "r": StubReply(text="y"),
    }


@pytest.mark.parametrize("line", ["{", "[]", '{"prompt": "p"}', '{"text": 3, "prompt": "p"}'])
def test_a_line_that_is_no_verdict_is_named(tmp_path, line: str):
    file = tmp_path / "verdicts.jsonl"
    file.write_text('{"prompt": "p", "text": "t"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"verdicts\.jsonl, line 2: needs prompt and text"):
        read_recorded(file)
