"""What every backend has to do: the same requests mean the same, whoever runs them.

A new backend adds a line to ``SUBJECTS`` (docs/backends.md). Those that run the bundled tiny family
are compared with transformers in single precision; a server that runs no model is held to the rest.
"""

import ctypes
import gc
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from evalcore.errors import InputError
from evalcore.protocols import (
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    RollingRequest,
    Runner,
)
from evalcore.records import Message, SamplingParams
from runners import open_runners, parse_model
from runners.backends import BACKENDS
from runners.endpoint.stub import StubReply, StubScript, serving

STYLE = "+lora:zoo:tiny-instruct+lora:zoo:tiny-style*0.5"
CONTEXTS = [
    "What is 34 + 27?",
    "What is 1 + 2? 3\nWhat is 20 + 31?",
    "Ann has 34 lamps and gets 27 more. How many?",
    "The cat sat on the m",
    "begins with b and ends",
    "Ünï 日本",
    "(",
    "Say hello in capitals. HELL",
]
SIGNS = [*map(chr, range(32, 127)), "\n", "<|eos|>"]
"""Continuations of one token each; what is left over is next to nothing."""


@dataclass(frozen=True)
class Subject:
    """A way to run the tiny family, and how far it may be from single precision."""

    backend: str
    model: Callable[[Callable[..., Path]], str]
    """Makes the model string, given the function that converts to GGUF."""
    kl: float
    """Most nats per token that its distribution may be away."""

    @property
    def tolerance(self) -> float:
        """Share of a text's log-probability by which it may differ; unlikely texts differ most."""
        return max(2 * math.sqrt(self.kl), 1e-5)


def zoo(query: str, kl: float) -> Subject:
    return Subject("hf", lambda _file: f"zoo:tiny?{query}", kl)


def gguf(kind: str, kl: float) -> Subject:
    return Subject("gguf", lambda file: f"gguf:{file(kind=kind)}", kl)


SUBJECTS = {
    "hf-fp32": zoo("dtype=fp32", 1e-9),
    "hf-bf16": zoo("dtype=bf16", 1e-3),
    "hf-int8": zoo("quant=int8", 1e-3),
    "hf-nf4": zoo("quant=nf4", 3e-2),
    "hf-torchao-int8": zoo("quant=torchao-int8", 1e-3),
    "gguf-F32": gguf("F32", 1e-7),
    "gguf-F16": gguf("F16", 1e-5),
    "gguf-BF16": gguf("BF16", 1e-3),
    "gguf-Q8_0": gguf("Q8_0", 1e-3),
    "gguf-Q4_K_M": gguf("Q4_K_M", 5e-3),
    "vllm-bf16": Subject("vllm", lambda _file: f"vllm:{parse_model('zoo:tiny').weights}", 1e-3),
}
MARKS = {
    "gguf": [pytest.mark.gguf],
    "vllm": [
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
    ],
}
SERVED = ("openai",)
"""Backends that are tried against a server without a model."""
NO_MODEL = {"fake", "zoo"}
"""A rehearsal, and names for models of another backend."""

PARAMETERS = [
    pytest.param(one, id=name, marks=MARKS.get(one.backend, [])) for name, one in SUBJECTS.items()
]
local = pytest.mark.parametrize("subject", PARAMETERS)
ONE_OF_EACH = ("hf-fp32", "hf-nf4", "gguf-F32", "gguf-Q4_K_M", "vllm-bf16")
"""What does not hang on how numbers are rounded is asked of these."""


@pytest.fixture
def running(subject: Subject, run_model, gguf_file) -> Runner:
    return run_model(subject.model(gguf_file))


@pytest.fixture(scope="module")
def reference(run_model) -> Runner:
    return run_model("zoo:tiny?dtype=fp32&device=cpu")


@pytest.fixture(scope="module")
def wanted(plain) -> list[list[float]]:
    """Give what follows each context by plain transformers."""
    model, tokenizer = plain.load(parse_model("zoo:tiny").weights)
    signs = [tokenizer(sign, add_special_tokens=False)["input_ids"][0] for sign in SIGNS]
    rows = []
    for context in CONTEXTS:
        logits = model.float()(**tokenizer(context, return_tensors="pt")).logits[0, -1]
        rows.append(logits.softmax(-1)[signs].tolist())
    return [[*row, max(1 - math.fsum(row), 0.0)] for row in rows]


@pytest.fixture(scope="module")
def stub() -> Iterator[str]:
    """Serve answers that follow from the prompt."""
    script = StubScript(answer=lambda prompt: StubReply(text=f"{prompt} one, two, ünï 日本, end"))
    with serving(script) as server:
        yield f"openai:m@{server.url}"


@pytest.fixture(params=[*(one for one in PARAMETERS if one.id in ONE_OF_EACH), *SERVED])
def anyone(request: pytest.FixtureRequest, run_model, gguf_file, stub: str) -> Runner:
    """Give a subject of each kind, and each served backend."""
    is_served = request.param in SERVED
    return run_model(stub if is_served else request.param.model(gguf_file))


def ask(text: str, **params: object) -> GenerateRequest:
    params = {"max_new_tokens": 24, **params}
    return GenerateRequest(prompt=text, params=SamplingParams(**params))


def distributions(runner: Runner, collect) -> list[list[float]]:
    """Return the probabilities of what may follow each context, the rest as the last one."""
    requests = [
        LoglikelihoodRequest(context=context, continuation=sign)
        for context in CONTEXTS
        for sign in SIGNS
    ]
    results: list[Loglikelihood] = collect(runner.loglikelihood(requests))
    assert {one.n_tokens for one in results} == {1}
    rows = [results[at : at + len(SIGNS)] for at in range(0, len(results), len(SIGNS))]
    likely = [[math.exp(one.logprob) for one in row] for row in rows]
    return [[*row, max(1 - math.fsum(row), 0.0)] for row in likely]


def mean_kl(wanted: list[list[float]], got: list[list[float]]) -> float:
    def one(p: list[float], q: list[float]) -> float:
        floor = 1e-6  # what is less likely is lost in rounding
        pairs = zip(p, q, strict=True)
        return math.fsum(a * math.log(max(a, floor) / max(b, floor)) for a, b in pairs)

    return math.fsum(map(one, wanted, got)) / len(wanted)


def test_every_backend_is_a_subject():
    assert set(BACKENDS) <= NO_MODEL | set(SERVED) | {one.backend for one in SUBJECTS.values()}


@local
def test_distributions_are_near_single_precision(subject: Subject, running, reference, collect):
    found = mean_kl(distributions(reference, collect), distributions(running, collect))
    print(f"KL per token: {found:.2g}")
    assert found <= subject.kl


@local
def test_texts_are_tokenised_cut_and_counted_alike(subject: Subject, running, reference, collect):
    requests = [
        LoglikelihoodRequest(context="What is 4 + 5? ", continuation="9"),
        LoglikelihoodRequest(context="  two  spaces ", continuation="  more \n"),
        LoglikelihoodRequest(context="", continuation="Good morning"),
        LoglikelihoodRequest(context="word " * 100, continuation="ends the text"),
        LoglikelihoodRequest(context="Ünïcödé 👩‍👩‍👧", continuation=" 日本語のテキスト"),
        LoglikelihoodRequest(
            context=(Message(role="user", content="What is 4 + 5?"),), continuation="9"
        ),
    ]
    wanted, got = (collect(one.loglikelihood(requests)) for one in (reference, running))
    assert [one.n_tokens for one in got] == [one.n_tokens for one in wanted]
    assert [one.n_truncated for one in got] == [one.n_truncated for one in wanted]
    assert wanted[3].n_truncated > 0
    for one, other in zip(wanted, got, strict=True):
        assert other.logprob == pytest.approx(one.logprob, rel=subject.tolerance)


@local
def test_whole_text_is_scored_in_windows(subject: Subject, running, reference, collect):
    requests = [RollingRequest(text="The cat sat on the mat. " * 20), RollingRequest(text="")]
    wanted, got = (collect(one.loglikelihood_rolling(requests)) for one in (reference, running))
    assert [one.n_tokens for one in got] == [one.n_tokens for one in wanted] == [480, 0]
    assert got[0].logprob == pytest.approx(wanted[0].logprob, rel=subject.tolerance)


@local
def test_continuation_longer_than_the_window_is_refused(running):
    request = LoglikelihoodRequest(context="", continuation="long " * 100)
    with pytest.raises(InputError, match="must fit the model's window of 256 tokens"):
        list(running.loglikelihood([request]))


@local
def test_adapters_off_again_are_the_base(subject: Subject, gguf_file, collect):
    base = subject.model(gguf_file)
    question = (Message(role="user", content="Say hello in capitals."),)
    request = LoglikelihoodRequest(context=question, continuation="HELLO")
    specs = [parse_model(text) for text in (base, base + STYLE, base)]
    off, on, again = [collect(one.loglikelihood([request]))[0] for one in open_runners(specs)]
    assert off == again
    assert abs(on.logprob - off.logprob) > 1


@pytest.mark.parametrize("name", ["hf-fp32", "hf-nf4", "gguf-Q4_K_M"])
def test_closing_gives_the_memory_back(name: str, gguf_file, collect):
    subject = SUBJECTS[name]
    request = LoglikelihoodRequest(context="a", continuation="b")

    def memory_after_runs(n: int) -> int:
        for _ in range(n):
            for runner in open_runners([parse_model(subject.model(gguf_file))]):
                collect(runner.loglikelihood([request]))
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = memory_after_runs(3)
    # Ten models of 5 to 10 MB would have stayed; a heap in pieces holds on to a few.
    assert memory_after_runs(10) - before < 25e6


def test_empty_continuation_is_certain(anyone, collect):
    request = LoglikelihoodRequest(context="anything", continuation="")
    (result,) = collect(anyone.loglikelihood([request]))
    assert (result.logprob, result.is_greedy, result.n_tokens) == (0.0, True, 0)


def test_nothing_asked_is_nothing_answered(anyone):
    assert list(anyone.generate([])) == list(anyone.loglikelihood([])) == []


def test_answer_ends_before_its_stop_string(anyone, collect):
    (whole,) = collect(anyone.generate([ask("Once")]))
    stop = whole.text[4:7]
    requests = [ask("Once", stop=(stop,)), ask("Once", stop=("never said",))]
    cut, uncut = collect(anyone.generate(requests))
    assert len(stop) == 3
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert uncut.text == whole.text


def test_answer_that_gets_too_long_is_cut(anyone, collect):
    (answer,) = collect(anyone.generate([ask("Once", max_new_tokens=3)]))
    assert (answer.finish_reason, answer.completion_tokens) == ("length", 3)
    assert answer.prompt_tokens > 0


def test_same_request_has_the_same_answer(anyone, collect):
    requests = [ask(f"{text} ünï 日本") for text in CONTEXTS]
    first = [one.text for one in collect(anyone.generate(requests))]
    assert [one.text for one in collect(anyone.generate(requests))] == first
    assert len(first) == len(CONTEXTS)


def test_pieces_put_together_are_the_answer(anyone, collect):
    request = ask("Once", stop=("x",))
    (answer,) = collect(anyone.generate([request]))
    assert "".join(anyone.stream(request)) == answer.text


@pytest.mark.parametrize("name", ["hf-fp32", "gguf-F32"])
def test_sampled_answer_hangs_on_its_seed_alone(name: str, run_model, gguf_file, collect):
    runner = run_model(SUBJECTS[name].model(gguf_file))
    requests = [ask("Once", temperature=1.5, seed=seed) for seed in range(5)]
    together = [one.text for one in collect(runner.generate(requests))]
    alone = [collect(runner.generate([request]))[0].text for request in requests]
    assert together == alone
    assert len(set(alone)) > 1
