"""Parts that a runner names: each alone gives the numbers that it gives among the others."""

import pytest

from evalcore.executors import run_requests
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, RollingRequest
from evalcore.records import SamplingParams

SHOTS = "".join(f"Question {n}: how many dogs and cats? Answer: {n}\n" for n in range(12))


def pairs():
    asked = [
        LoglikelihoodRequest(
            context=f"{SHOTS}Question {n}{' and why' * (n % 5)}?", continuation=end
        )
        for n in range(160)
        for end in (" red", " green fox", "")
    ]
    return asked


def texts():
    return [RollingRequest(text="dog cat " * (3 + n % 40) + str(n)) for n in range(60)]


def prompts():
    return [
        GenerateRequest(
            prompt="dog " * (n % 9 + 1) + str(n), params=SamplingParams(max_new_tokens=6)
        )
        for n in range(40)
    ]


def answers(runner, requests, places) -> dict:
    asked = [requests[place] for place in places]
    return {
        places[at]: getattr(found, "text", None) or (found.logprob, found.is_greedy)
        for finished in run_requests(runner, asked)
        for at, found in finished.results
    }


@pytest.mark.parametrize(
    "requests", [pairs(), texts(), prompts()], ids=["pairs", "texts", "prompts"]
)
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_parts_alone_equal_the_whole_bit_for_bit(llama, run_model, requests, engine: str):
    runner = run_model(f"hf:{llama.folder}", batch_size=4, engine=engine)
    parts = runner.plan(requests)
    assert sorted(place for part in parts for place in part) == list(range(len(requests)))
    whole = answers(runner, requests, range(len(requests)))
    assert len(parts) >= 2
    for part in reversed(parts):
        assert answers(runner, requests, part) == {place: whole[place] for place in part}


def test_nothing_is_no_part(llama, run_model):
    assert run_model(f"hf:{llama.folder}").plan([]) == []
