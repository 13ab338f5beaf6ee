"""Cutting a stage into units."""

from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, RollingRequest
from evalcore.records import Message, SamplingParams
from runners.cluster.units import cut_by_text, join_parts


def ask(prompt) -> GenerateRequest:
    return GenerateRequest(prompt=prompt, params=SamplingParams())


def test_each_request_is_in_one_part():
    requests = [ask(f"{n % 7} is a number, {n} too") for n in range(100)]
    parts = cut_by_text(requests, size=16)
    assert sorted(place for part in parts for place in part) == list(range(100))
    assert max(map(len, parts)) <= 16


def test_requests_that_begin_alike_stay_together():
    shots = [f"A long example number {n}. " * 5 for n in range(6)]
    requests = [
        LoglikelihoodRequest(context=shots[n % 6] + str(n), continuation=" yes") for n in range(60)
    ]
    parts = cut_by_text(requests, size=15)
    assert all(len({place % 6 for place in part}) == 1 for part in parts)


def test_conversations_and_texts_are_cut_too():
    talks = [ask((Message(role="user", content=str(n)),)) for n in range(5)]
    assert len(cut_by_text(talks, size=2)) >= 3
    assert cut_by_text([RollingRequest(text="a")], size=64) == [[0]]


def test_nothing_is_no_part():
    assert cut_by_text([], size=64) == []
    assert join_parts([], n_workers=4, most=16) == []


def test_workers_get_several_units_each():
    parts = [[n] for n in range(160)]
    units = join_parts(parts, n_workers=4, most=16)
    assert [part for unit in units for part in unit] == parts
    assert len(units) == 32


def test_units_stay_small_however_many_parts_there_are():
    assert max(map(len, join_parts([[n] for n in range(100_000)], n_workers=2, most=16))) == 16
