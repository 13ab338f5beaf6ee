import math

import pytest

from evalcore.protocols import (
    GenerateRequest,
    LoglikelihoodRequest,
    RollingRequest,
    Runner,
)
from evalcore.records import Message, ModelSpec, SamplingParams
from runners import open_runners, parse_model
from runners.fake import FakeRunner


def ask(prompt, **params):
    return GenerateRequest(prompt=prompt, params=SamplingParams(**params))


def test_answers_come_from_the_table_else_from_the_prompt(collect):
    runner: Runner = FakeRunner(answers={"2 + 2?": "4"})
    chat = (Message(role="system", content="Be brief."), Message(role="user", content="2 + 2?"))
    results = collect(runner.generate([ask("2 + 2?"), ask(chat), ask("echo me")]))
    assert [result.text for result in results] == ["4", "4", "echo me"]


def test_answer_ends_at_the_first_stop_string_or_at_its_length(collect):
    runner = FakeRunner(answers={"q": "one two\nthree"})
    stopped, cut = collect(
        runner.generate([ask("q", stop=("three", "\n")), ask("q", max_new_tokens=1)])
    )
    assert (stopped.text, stopped.finish_reason) == ("one two", "stop")
    assert (cut.text, cut.finish_reason, cut.completion_tokens) == ("one", "length", 1)


def test_loglikelihoods_depend_on_model_and_request_alone(collect):
    requests = [LoglikelihoodRequest(context="a", continuation=c) for c in (" b", " c d", "")]
    one, same, other = (
        collect(FakeRunner(ModelSpec(name=name, backend="fake", weights=name)).loglikelihood(r))
        for name, r in (("m", requests), ("m", requests), ("n", requests))
    )
    assert one == same
    assert one != other
    assert [result.n_tokens for result in one] == [1, 2, 0]
    assert one[2].logprob == 0
    assert all(-10 * r.n_tokens <= r.logprob <= 0 and math.isfinite(r.logprob) for r in one)


def test_calls_and_batches_are_recorded():
    runner = FakeRunner(batch_size=2)
    requests = [RollingRequest(text=text) for text in "abc"]
    assert [len(done.results) for done in runner.loglikelihood_rolling(requests)] == [2, 1]
    assert runner.calls == [tuple(requests)]
    runner.close()
    assert runner.closed


@pytest.mark.parametrize("names", [[], ["x"], ["x", "y"]])
def test_model_string_opens_a_fake(names: list[str]):
    specs = [parse_model(f"fake:{name}") for name in names]
    assert [runner.spec.name for runner in open_runners(specs)] == names
