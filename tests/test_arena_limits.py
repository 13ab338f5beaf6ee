"""How often somebody may ask."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena.limits import Limits
from arena.refusals import Refused
from arena.settings import ArenaSettings
from evalcore.errors import InputError


def limits(**options: str) -> Limits:
    return Limits(ArenaSettings(secret="s" * 32, **options))


def n_admitted(checked: Limits, n_tries: int, *, rater: str | None, address: str | None) -> int:
    return sum(is_admitted(checked, rater=rater, address=address) for _ in range(n_tries))


def is_admitted(checked: Limits, *, rater: str | None, address: str | None) -> bool:
    try:
        checked.check("vote", rater_id=rater, address=address)
    except Refused as refusal:
        return not (refusal.code == "too_many" and (refusal.retry_after_s or 0) >= 1)
    return True


@given(limit=st.integers(1, 20), extra=st.integers(0, 20))
def test_rater_may_vote_as_often_as_the_limit_says(limit: int, extra: int):
    checked = limits(vote_limit=f"{limit}/hour")
    assert n_admitted(checked, limit + extra, rater="ann", address=None) == limit


def test_raters_do_not_count_for_each_other():
    checked = limits(vote_limit="2/hour")
    for rater in ("ann", "bob"):
        assert n_admitted(checked, 5, rater=rater, address=None) == 2


def test_address_may_ten_times_as_often_whoever_asks():
    checked = limits(vote_limit="2/hour")
    admitted = sum(
        n_admitted(checked, 1, rater=f"rater {number}", address="192.0.2.1") for number in range(30)
    )
    assert admitted == 20


def test_empty_limit_limits_nothing():
    assert n_admitted(limits(vote_limit=""), 500, rater="ann", address="192.0.2.1") == 500


def test_addresses_are_not_kept_in_memory_as_they_are():
    checked = limits()
    checked.check("vote", rater_id="ann", address="192.0.2.77")
    assert "192.0.2.77" not in repr(vars(vars(checked)["_limiter"].storage))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vote_limit": "many"}, "vote_limit must be such as '60/minute'; got 'many'"),
        ({"limits_storage": "nowhere://"}, "limits_storage 'nowhere://'"),
    ],
)
def test_bad_settings_are_named(options: dict[str, str], said: str):
    with pytest.raises(InputError, match=said):
        limits(**options)


@pytest.mark.parametrize(("proxy", "n_tries"), [("-", 10), ("192.0.2.9", 10), ("127.0.0.1", 14)])
def test_forwarded_address_is_believed_of_a_named_proxy_alone(
    start_arena: Callable, tmp_path: Path, proxy: str, n_tries: int
):
    server = start_arena(tmp_path, proxy=proxy)
    url, body = f"http://127.0.0.1:{server.port}/api/login", {"name": "ann", "password": "x"}
    said = [
        httpx.post(url, json=body, headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
        for n in range(14)
    ]
    assert said == [401] * n_tries + [429] * (14 - n_tries)
