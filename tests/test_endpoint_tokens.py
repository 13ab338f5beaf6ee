"""Log-likelihoods of a server by tokens, as vLLM tells them; tried on the stub."""

from contextlib import ExitStack, closing

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import LoglikelihoodRequest, RollingRequest
from evalcore.records import Message
from runners import parse_model
from runners.endpoint.runner import EndpointRunner
from runners.endpoint.stub import StubScript, serving
from runners.token_boundary import boundary


@pytest.fixture
def connect():
    with ExitStack() as opened:

        def make(script=None, query="scoring=vllm"):
            server = opened.enter_context(serving(script or StubScript()))
            spec = parse_model(f"openai:stub@{server.url}?{query}&retries=0")
            return opened.enter_context(closing(EndpointRunner(spec))), server

        yield make


def test_scores_by_tokens_equal_those_of_the_echo(connect, collect):
    asked = [
        LoglikelihoodRequest(context=context, continuation=continuation)
        for context in ("one two three", "one two ", "Is it so?")
        for continuation in (" four", " five six", "seven", "")
    ]
    by_tokens = collect(connect()[0].loglikelihood(asked))
    by_echo = collect(connect(query="scoring=echo")[0].loglikelihood(asked))
    assert by_tokens == by_echo
    assert {one.is_greedy for one in by_tokens} == {True, False}
    assert [one.n_tokens for one in by_tokens[3::4]] == [0, 0, 0]


def test_conversation_is_scored_after_the_server_s_own_rendering(connect, collect):
    chat = (Message(role="user", content="Is it so?"),)
    asked = [
        LoglikelihoodRequest(context=chat, continuation=" Yes"),
        LoglikelihoodRequest(context="user: Is it so?\nassistant:", continuation=" Yes"),
    ]
    first, second = collect(connect()[0].loglikelihood(asked))
    assert first == second
    assert first.n_tokens == 1


def test_text_is_scored_whole_behind_the_mark(connect, collect):
    runner, _ = connect()
    (rolling,) = collect(runner.loglikelihood_rolling([RollingRequest(text="a b c")]))
    (whole,) = collect(
        runner.loglikelihood([LoglikelihoodRequest(context="", continuation="a b c")])
    )
    assert rolling == whole
    assert rolling.n_tokens == 3


def test_each_prompt_is_tokenised_once(connect, collect, monkeypatch):
    from runners.endpoint.stub import server as stub

    seen = []
    tokens_body = stub.tokens_body
    monkeypatch.setattr(stub, "tokens_body", lambda body: seen.append(body) or tokens_body(body))
    runner, server = connect(query="scoring=vllm&concurrency=1")
    choices = (" yes", " no", " maybe")
    asked = [LoglikelihoodRequest(context="Is it so?", continuation=c) for c in choices]
    collect(runner.loglikelihood(asked))
    assert len(seen) == 4
    assert server.stats.n_calls == 3
    assert server.stats.last_body["prompt_logprobs"] == 0


def test_server_without_tokenize_is_told_apart(connect):
    runner, _ = connect(StubScript(tokenises=False))
    asked = [LoglikelihoodRequest(context="a", continuation=" b")]
    with pytest.raises(ModelError, match="no such path: /tokenize") as caught:
        list(runner.loglikelihood(asked))
    assert "\n" not in str(caught.value)


def test_server_that_ignores_prompt_logprobs_is_refused(connect, monkeypatch):
    from runners.endpoint.stub import replies

    monkeypatch.setattr(replies, "_scored", lambda body: {"choices": [{"text": " more"}]})
    runner, _ = connect()
    asked = [LoglikelihoodRequest(context="a", continuation=" b")]
    with pytest.raises(ModelError, match=r"it gives none for prompts \(prompt_logprobs\)"):
        list(runner.loglikelihood(asked))


def test_text_without_a_mark_has_nothing_on_its_first_token(connect, monkeypatch):
    from runners.endpoint.stub import server as stub

    body = stub.tokens_body
    monkeypatch.setattr(stub, "tokens_body", lambda b: body({**b, "add_special_tokens": False}))
    runner, _ = connect()
    with pytest.raises(ModelError, match="none for the first token of a text"):
        list(runner.loglikelihood_rolling([RollingRequest(text="a b")]))


def test_way_of_scoring_is_part_of_the_fingerprint_and_checked():
    one, other = (
        parse_model(f"openai:m@http://127.0.0.1:1/v1?scoring={how}") for how in ("echo", "vllm")
    )
    assert one.fingerprint != other.fingerprint
    with pytest.raises(ModelError, match="scoring must be one of echo, vllm; got 'guess'"):
        parse_model("openai:m@http://127.0.0.1:1/v1?scoring=guess")


@pytest.mark.parametrize(
    ("context", "whole", "place"),
    [
        ([1, 2], [1, 2, 3], 2),
        ([1, 2], [1, 9, 3], 2),
        ([1, 2, 3], [1, 2, 9], 2),
        ([1, 2, 3], [1, 9], 1),
        ([1, 2], [1, 2], 2),
        ([], [1], 0),
    ],
)
def test_continuation_begins_where_the_context_would_end(context, whole, place):
    assert boundary(context, whole) == place


def test_failed_tokenising_is_counted_and_asked_again_later(connect, monkeypatch):
    from evalcore.errors import IncompleteError
    from runners.endpoint.stub import server as stub

    monkeypatch.setattr(stub, "tokens_body", lambda body: b"<html>Bad gateway</html>")
    runner, _ = connect()
    asked = [LoglikelihoodRequest(context="a", continuation=" b")]
    with pytest.raises(IncompleteError, match="1 log-likelihoods could not be had"):
        list(runner.loglikelihood(asked))
