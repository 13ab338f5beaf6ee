"""The endpoint runner against a stub server: answers, faults, retries, money."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from evalcore.errors import IncompleteError, ModelError
from evalcore.protocols import (
    Completion,
    GenerateRequest,
    LoglikelihoodRequest,
    RollingRequest,
)
from evalcore.records import Message, SamplingParams
from runners import parse_model
from runners.endpoint.budget import Budget
from runners.endpoint.runner import EndpointRunner
from runners.endpoint.stub import StubReply, StubScript, StubServer, serving

FAST = SamplingParams(max_new_tokens=20)
Connect = Callable[..., tuple[EndpointRunner, StubServer]]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open a runner on a stub with a script; settings go into the model string."""
    with ExitStack() as opened:

        def open_both(
            script: StubScript, settings: str = "retries=3", budget: Budget | None = None
        ) -> tuple[EndpointRunner, StubServer]:
            server = opened.enter_context(serving(script))
            spec = parse_model(f"judge=openai:m@{server.url}?{settings}")
            runner = EndpointRunner(spec, budget=budget)
            opened.callback(runner.close)
            return runner, server

        yield open_both


def ask(text: str, **fields: object) -> GenerateRequest:
    prompt = (Message(role="user", content=text),)
    return GenerateRequest(prompt=prompt, params=fields.pop("params", FAST), **fields)


def questions(n: int) -> list[GenerateRequest]:
    return [ask(f"question {number}") for number in range(n)]


def failures(answers: list[Completion]) -> list[str]:
    return [answer.text for answer in answers if answer.finish_reason == "error"]


def test_answers_come_back_each_for_its_request(connect: Connect, collect):
    runner, _ = connect(StubScript(answer=lambda prompt: StubReply(text=f"re: {prompt}")))
    answers = collect(runner.generate(questions(50)))
    assert [answer.text for answer in answers] == [f"re: question {n}" for n in range(50)]
    assert answers[0].prompt_tokens == 2
    assert answers[0].finish_reason == "stop"


def test_no_requests_make_no_call(connect: Connect):
    runner, server = connect(StubScript())
    assert list(runner.generate([])) == []
    assert server.stats.n_calls == 0


def test_no_more_calls_are_in_flight_than_the_concurrency(connect: Connect, collect):
    runner, server = connect(StubScript(latency_s=0.05), "concurrency=3")
    collect(runner.generate(questions(12)))
    assert server.stats.most_in_flight == 3


@pytest.mark.parametrize("fault", ["drop", "429", "500", "garbage", "half", "cut"])
def test_a_passing_fault_is_tried_again(connect: Connect, collect, fault: str):
    runner, server = connect(StubScript(faults=(fault,)))
    assert failures(collect(runner.generate(questions(3)))) == []
    assert server.stats.n_calls == 4


@pytest.mark.parametrize("fault", ["drop", "cut"])
def test_a_lost_connection_is_not_told_as_a_server_that_is_not_there(
    connect: Connect, collect, fault: str
):
    script = StubScript(faults=(fault,) * 4)
    runner, _ = connect(script, "concurrency=1&retries=3&price=1000/1000", Budget(1000.0))
    answers = collect(runner.generate(questions(2)))
    assert failures(answers) == ["connection was lost"]  # and the second is answered


def test_a_stalled_call_is_given_up_and_tried_again(connect: Connect, collect):
    runner, server = connect(StubScript(faults=("stall",)), "timeout=1")
    assert failures(collect(runner.generate(questions(2)))) == []
    assert server.stats.n_calls == 3


def test_a_call_that_fails_for_ever_is_told_and_others_are_kept(connect: Connect, collect):
    script = StubScript(faults=("500", "500"))
    runner, _ = connect(script, "concurrency=1&retries=1")
    answers = collect(runner.generate(questions(2)))
    assert [answer.finish_reason for answer in answers] == ["error", "stop"]
    assert failures(answers) == ["HTTP 500"]


def test_another_models_answer_is_not_taken_and_not_paid_again(connect: Connect, collect):
    runner, server = connect(StubScript(faults=(None, "other_model")), "concurrency=1")
    answers = collect(runner.generate(questions(3)))
    assert failures(answers) == ["'another-model' answered, not 'm'"]
    assert server.stats.n_calls == 3


@pytest.mark.parametrize(
    ("served", "is_taken"), [("m-2024-08-06", True), ("m-0613", True), ("m-mini", False)]
)
def test_a_dated_name_is_the_models_own(connect: Connect, collect, served: str, is_taken: bool):
    runner, _ = connect(StubScript(model=served))
    assert (failures(collect(runner.generate(questions(1)))) == []) == is_taken


def test_a_name_that_changes_between_dates_is_refused(connect: Connect, collect):
    runner, server = connect(StubScript(model="m-0301"))
    assert failures(collect(runner.generate(questions(1)))) == []
    server.script = StubScript(model="m-0613")
    assert failures(collect(runner.generate(questions(1)))) == ["'m-0613' answered, not 'm-0301'"]


def test_a_used_up_quota_ends_the_job_without_asking_on(connect: Connect, collect):
    runner, server = connect(StubScript(quota=5), "concurrency=2")
    told = failures(collect(runner.generate(questions(50))))
    assert len(told) == 45
    assert all("quota is used up" in reason for reason in told)
    assert server.stats.n_calls <= 7


def test_a_server_that_only_fails_is_left_alone(connect: Connect, collect):
    runner, server = connect(StubScript(fault_rate=1.0, fault_kinds=("garbage",)), "retries=0")
    told = failures(collect(runner.generate(questions(200))))
    assert len(told) == 200
    assert server.stats.n_calls < 40
    assert told.count("not asked: 16 calls in a row had failed") > 150


def test_a_refused_key_is_bad_input_and_not_repeated(monkeypatch):
    monkeypatch.setenv("STUB_KEY", "sk-secret")
    with serving(StubScript(api_key="another")) as server:
        runner = EndpointRunner(parse_model(f"openai:m@{server.url}?key_env=STUB_KEY"))
        with pytest.raises(ModelError, match="HTTP 401") as refused:
            list(runner.generate(questions(3)))
        runner.close()
    assert "sk-secret" not in str(refused.value)
    assert "***" in str(refused.value)


def test_a_wrong_path_is_bad_input():
    with serving() as server:
        runner = EndpointRunner(parse_model(f"openai:m@{server.url.replace('/v1', '/v2')}"))
        with pytest.raises(ModelError, match=r"m at http://127.0.0.1:\d+/v2: HTTP 404"):
            list(runner.generate(questions(3)))
        runner.close()


def test_a_port_where_nothing_listens_is_told_soon(collect):
    runner = EndpointRunner(parse_model("openai:m@http://127.0.0.1:9/v1"))
    begin = time.monotonic()
    told = failures(collect(runner.generate(questions(40))))
    runner.close()
    assert len(told) == 40
    assert "http://127.0.0.1:9/v1 can't be reached" in told[0]
    assert time.monotonic() - begin < 20


def test_retry_after_is_waited_for(connect: Connect, collect):
    runner, _ = connect(StubScript(faults=("429",), retry_after="1"))
    begin = time.monotonic()
    assert failures(collect(runner.generate(questions(1)))) == []
    assert time.monotonic() - begin >= 1.0


def test_a_pause_holds_all_calls_and_keeps_them_apart_afterwards(connect: Connect, collect):
    script = StubScript(faults=("429",), retry_after="1")
    runner, server = connect(script, "concurrency=16&rpm=1200")
    begin = time.monotonic()
    assert failures(collect(runner.generate(questions(16)))) == []
    # One call before the pause of 1 s at least, then 16 at distances of 50 ms.
    assert time.monotonic() - begin >= 1.0 + 0.05 * (server.stats.n_calls - 4)


def test_prompts_that_a_server_refuses_do_not_stop_the_others(connect: Connect, collect):
    known = {f"question {n}": StubReply(text="[[A]]") for n in (0, 39)}
    runner, _ = connect(StubScript(answer=known.get), "concurrency=1")
    told = failures(collect(runner.generate(questions(40))))
    assert told == ["HTTP 400: no verdict is recorded for this prompt"] * 38


def test_a_server_that_asks_for_an_hour_is_not_asked_again(connect: Connect, collect):
    runner, server = connect(StubScript(faults=("429",), retry_after="3600"))
    assert failures(collect(runner.generate(questions(1)))) == ["HTTP 429"]
    assert server.stats.n_calls == 1


def test_calls_cost_what_the_price_says(connect: Connect, collect):
    script = StubScript(answer=lambda _: StubReply(text="one two three"))
    runner, _ = connect(script, "price=2/10")
    (answer,) = collect(runner.generate(questions(1)))
    assert answer.cost_usd == pytest.approx((2 * 2 + 3 * 10) / 1e6)


def test_an_unknown_price_is_no_price_of_zero(connect: Connect, collect):
    runner, _ = connect(StubScript())
    assert collect(runner.generate(questions(1)))[0].cost_usd is None


def test_a_budget_is_never_exceeded_and_used_as_far_as_possible(connect: Connect, collect):
    script = StubScript(answer=lambda _: StubReply(text="one two three"), latency_s=0.01)
    budget = Budget(0.001)
    runner, server = connect(script, "price=0/10&concurrency=8", budget)
    answers = collect(runner.generate(questions(100)))
    each_usd, most_usd = 3 * 10 / 1e6, 20 * 10 / 1e6
    spent_usd = sum(answer.cost_usd or 0 for answer in answers)
    assert budget.spent_usd == pytest.approx(spent_usd)
    assert 0.001 - most_usd - each_usd < spent_usd <= 0.001
    assert set(failures(answers)) == {"not asked: the budget of $0.001 is used up"}
    assert server.stats.n_answered == 100 - len(failures(answers))


def test_an_answer_lost_on_the_way_counts_in_the_budget(connect: Connect, collect):
    budget = Budget(1.0)
    runner, _ = connect(StubScript(faults=("half",)), "price=0/10", budget)
    collect(runner.generate(questions(1)))
    assert budget.spent_usd == pytest.approx((20 + 1) * 10 / 1e6)


def test_a_budget_needs_a_price_where_somebody_is_paid(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    with pytest.raises(ModelError, match=r"price of new-model at api\.openai\.com"):
        EndpointRunner(
            parse_model("openai:new-model@https://api.openai.com/v1"), budget=Budget(1.0)
        )


def test_first_token_logprobs_are_reported_where_asked(connect: Connect, collect):
    reply = StubReply(text="m", first_token_logprobs={"m": -0.1, "M": -2.4})
    runner, _ = connect(StubScript(answer=lambda _: reply))
    asked, plain = collect(runner.generate([ask("a", top_logprobs=5), ask("b")]))
    assert asked.first_token_logprobs == {"m": -0.1, "M": -2.4}
    assert plain.first_token_logprobs is None


@pytest.mark.parametrize("field", ["logprobs", "response_format"])
def test_what_a_server_refuses_is_left_out_from_then_on(connect: Connect, collect, field: str):
    runner, server = connect(StubScript(refuses=(field,)), "concurrency=1")
    asked = [ask(f"q{n}", top_logprobs=5, json_schema='{"type": "object"}') for n in range(3)]
    assert failures(collect(runner.generate(asked))) == []
    assert server.stats.n_calls == 4
    assert field not in server.stats.last_body


def test_calls_in_flight_when_a_field_is_refused_are_asked_without_it(connect: Connect, collect):
    script = StubScript(refuses=("response_format",), latency_s=0.1)
    runner, _ = connect(script, "concurrency=8")
    asked = [ask(f"q{n}", json_schema='{"type": "object"}') for n in range(20)]
    assert failures(collect(runner.generate(asked))) == []


def test_parameters_are_sent_as_the_server_knows_them(connect: Connect, collect):
    runner, server = connect(StubScript(), "omit=temperature")
    params = SamplingParams(max_new_tokens=7, temperature=0.5, top_p=0.9, stop=("X",), seed=3)
    collect(runner.generate([ask("q", params=params, json_schema='{"type": "object"}')]))
    body = dict(server.stats.last_body)
    assert body.pop("response_format")["json_schema"]["schema"] == {"type": "object"}
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "max_tokens": 7,
        "top_p": 0.9,
        "stop": ["X"],
        "seed": 3,
    }


def test_plain_text_goes_to_the_completions_endpoint(connect: Connect, collect):
    runner, server = connect(StubScript(answer=lambda prompt: StubReply(text=prompt[::-1])))
    (answer,) = collect(runner.generate([GenerateRequest(prompt="abc", params=FAST)]))
    assert answer.text == "cba"
    assert server.stats.last_body["prompt"] == "abc"


def test_pieces_of_a_stream_are_the_answer(connect: Connect, collect):
    runner, _ = connect(StubScript(answer=lambda _: StubReply(text="one two\nthree")))
    pieces = list(runner.stream(ask("q")))
    assert pieces == ["one", " two", "\nthree"]
    assert "".join(pieces) == collect(runner.generate([ask("q")]))[0].text


def test_a_stream_that_can_not_begin_says_why(connect: Connect):
    runner, _ = connect(StubScript(fault_rate=1.0, fault_kinds=("500",)), "retries=0")
    with pytest.raises(IncompleteError, match="judge: HTTP 500"):
        list(runner.stream(ask("q")))


def test_loglikelihood_sums_the_tokens_of_the_continuation(connect: Connect, collect):
    runner, _ = connect(StubScript())
    whole, empty = collect(
        runner.loglikelihood(
            [
                LoglikelihoodRequest(context="a b ", continuation="c d"),
                LoglikelihoodRequest(context="a b", continuation=""),
            ]
        )
    )
    (first,) = collect(
        runner.loglikelihood([LoglikelihoodRequest(context="a b", continuation=" c")])
    )
    assert whole.n_tokens == 2
    assert whole.logprob <= first.logprob <= 0.0
    assert (empty.logprob, empty.n_tokens) == (0.0, 0)


def test_loglikelihood_is_refused_where_the_server_gives_none(connect: Connect):
    chat = LoglikelihoodRequest(context=(Message(role="user", content="q"),), continuation="a")
    runner, _ = connect(StubScript())
    with pytest.raises(ModelError, match="chat template"):
        list(runner.loglikelihood([chat]))
    with pytest.raises(ModelError, match="first token"):
        list(runner.loglikelihood_rolling([RollingRequest(text="a b")]))
    runner, _ = connect(StubScript(echoes=False))
    with pytest.raises(ModelError, match="it gives none"):
        list(runner.loglikelihood([LoglikelihoodRequest(context="a", continuation=" b")]))


def test_a_closed_runner_has_left_no_call_behind(connect: Connect):
    runner, _ = connect(StubScript(latency_s=30.0))
    results = runner.generate(questions(3))
    runner.close()
    runner.close()
    del results


def test_an_abandoned_job_leaves_the_runner_usable(connect: Connect, collect):
    runner, server = connect(StubScript(latency_s=0.02), "concurrency=2")
    results = runner.generate(questions(100))
    next(results)
    results.close()
    assert failures(collect(runner.generate(questions(2)))) == []
    assert server.stats.n_calls < 50
