"""llama.cpp against transformers in single precision; what all backends share is in conformance."""

import gc
import math
from pathlib import Path

import pytest

from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, RollingRequest
from evalcore.records import Message, SamplingParams
from runners import RunnerOptions, open_runners, open_together, parse_model
from runners.engine.planning import Sizes, plan_chunks
from runners.gguf.scoring import _branches
from runners.hf.scoring import Span

pytestmark = pytest.mark.gguf

FEW_SHOT = "What is 1 + 2? 3\nWhat is 20 + 31? 51\n"
TREE = [
    LoglikelihoodRequest(context=f"{FEW_SHOT}What is {a} + {b}?", continuation=f" {answer}")
    for a in range(12, 24)
    for b in (5, 17)
    for answer in (a + b, a + b + 1, "no idea", 0)
]


@pytest.fixture(scope="module")
def exact(run_model, gguf_file):
    return run_model(f"gguf:{gguf_file()}?n_threads=1")


@pytest.fixture(scope="module")
def reference(run_model):
    return run_model("zoo:tiny?dtype=fp32")


def difference(one, other) -> float:
    """Mean difference of log-probabilities per scored token."""
    n_tokens = sum(result.n_tokens for result in one)
    pairs = zip(one, other, strict=True)
    return sum(abs(a.logprob - b.logprob) for a, b in pairs) / n_tokens


def test_many_branches_equal_transformers(exact, reference, collect):
    wanted = collect(reference.loglikelihood(TREE))
    got = collect(exact.loglikelihood(TREE))
    assert difference(wanted, got) < 1e-5
    assert [one.is_greedy for one in got] == [one.is_greedy for one in wanted]
    assert {one.n_truncated for one in got} == {0}


def test_more_branches_than_sequences_equal_transformers(exact, reference, collect):
    requests = [
        LoglikelihoodRequest(context="Say", continuation=f" {a}{b}x")
        for a in "abcdefghijklmnop"
        for b in "abcdefghijklmnop"
    ]
    wanted = collect(reference.loglikelihood(requests))
    assert difference(wanted, collect(exact.loglikelihood(requests))) < 1e-5


def test_leading_results_left_out_change_nothing(exact, collect):
    requests = [
        LoglikelihoodRequest(context=f"{FEW_SHOT * 3}What is {a} + {b}?", continuation=f" {a + b}")
        for a in range(40, 60)
        for b in range(10)
    ] + [LoglikelihoodRequest(context=f"{a} is", continuation=" odd" * 8) for a in range(100, 300)]
    first, *rest = list(exact.loglikelihood(requests))
    done = {index for index, _ in first.results}
    left = [index for index in range(len(requests)) if index not in done]
    again = collect(exact.loglikelihood([requests[index] for index in left]))
    before = dict(pair for finished in rest for pair in finished.results)
    assert len(rest) > 1
    assert [result.logprob for result in again] == [before[index].logprob for index in left]


def test_perplexity_in_several_windows_equals_transformers(exact, reference, collect):
    requests = [RollingRequest(text="The cat sat on the mat, and slept. " * 20)]
    requests += [RollingRequest(text="short", scores_marks=True), RollingRequest(text="")]
    wanted = collect(reference.loglikelihood_rolling(requests))
    got = collect(exact.loglikelihood_rolling(requests))
    assert [one.n_tokens for one in got] == [one.n_tokens for one in wanted]
    assert difference(wanted, got) < 1e-5


def test_sampled_answers_equal_those_of_transformers(exact, reference, collect):
    requests = [
        GenerateRequest(
            prompt="Tell me", params=SamplingParams(max_new_tokens=12, temperature=1.5, seed=seed)
        )
        for seed in range(4)
    ]
    texts = [one.text for one in collect(exact.generate(requests))]
    assert texts == [one.text for one in collect(reference.generate(requests))]
    assert len(set(texts)) > 1


def test_shared_beginning_is_read_once_and_answers_stay(gguf_file, reference, collect):
    requests = [
        GenerateRequest(
            prompt=(Message(role="user", content=f"{'Add up. ' * 20}What is {a} + 27?"),),
            params=SamplingParams(max_new_tokens=8),
        )
        for a in range(30, 40)
    ]
    wanted = [one.text for one in collect(reference.generate(requests))]
    options = RunnerOptions(batch_size=3)
    for runner in open_runners([parse_model(f"gguf:{gguf_file()}")], options=options):
        got = collect(runner.generate(requests))
    assert [one.text for one in got] == wanted
    assert all(one.prompt_tokens > 150 for one in got)


def test_variants_stream_in_turns_without_touching_each_other(gguf_file, collect):
    request = GenerateRequest(
        prompt=(Message(role="user", content="Say hello in capitals."),),
        params=SamplingParams(max_new_tokens=10),
    )
    specs = [parse_model(f"gguf:{gguf_file()}{a}") for a in ("", "+lora:zoo:tiny-instruct")]
    with open_together(specs) as ((plain, styled),):
        alone = [collect(one.generate([request]))[0].text for one in (plain, styled)]
        steps = [one.stream_together([request], wanted=lambda _: True) for one in (plain, styled)]
        texts = ["", ""]
        for pieces in zip(*steps, strict=False):
            for index, step in enumerate(pieces):
                texts[index] += "".join(piece.text for piece in step)
        for index, rest in enumerate(steps):
            texts[index] += "".join(piece.text for step in rest for piece in step)
    assert texts == alone
    assert alone[0] != alone[1]


def test_unwanted_answer_ends_and_the_other_goes_on(exact):
    requests = [
        GenerateRequest(prompt=text, params=SamplingParams(max_new_tokens=6)) for text in ("a", "b")
    ]
    seen: list[int] = []

    def wanted(index: int) -> bool:
        return index == 1 or not seen

    for pieces in exact.stream_together(requests, wanted=wanted):
        seen.extend(piece.request for piece in pieces)
    assert seen.count(1) > seen.count(0) == 1


def test_stack_of_two_equals_peft(gguf_file, run_model, collect):
    stack = "+lora:zoo:tiny-instruct+lora:zoo:tiny-math*0.3"
    wanted = collect(run_model(f"zoo:tiny?dtype=fp32{stack}").loglikelihood(TREE))
    got = collect(run_model(f"gguf:{gguf_file()}?n_threads=1{stack}").loglikelihood(TREE))
    base = collect(run_model(f"gguf:{gguf_file()}?n_threads=1").loglikelihood(TREE))
    assert difference(wanted, got) < 1e-5
    assert difference(wanted, base) > 0.1


def test_rank_stabilised_adapter_equals_peft(llama, gguf_file, run_model, collect):
    file = gguf_file(f"hf:{llama.folder}")
    stack = f"+lora:{llama.adapters['first']}*0.5+lora:{llama.adapters['second']}"
    requests = [LoglikelihoodRequest(context="What is", continuation=" 12 + 30? The answer")]
    (wanted,) = collect(run_model(f"hf:{llama.folder}{stack}").loglikelihood(requests))
    (got,) = collect(run_model(f"gguf:{file}{stack}").loglikelihood(requests))
    assert got.logprob == pytest.approx(wanted.logprob, abs=1e-3)


def test_closed_resident_gives_its_memory_back(gguf_file, collect):
    def resident_bytes() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def run() -> None:
        for runner in open_runners([parse_model(f"gguf:{gguf_file()}+lora:zoo:tiny-math")]):
            collect(runner.loglikelihood(TREE))

    run()
    before = resident_bytes()
    for _ in range(5):
        run()
    assert resident_bytes() - before < 2 * gguf_file().stat().st_size


def test_branches_of_a_batch_begin_where_they_leave_the_path():
    spans = [
        Span(inputs=tokens, targets=[0]) for tokens in ([1, 2, 3, 4], [1, 2, 5], [1, 6], [7, 8])
    ]
    (chunk,) = plan_chunks([[span] for span in spans], Sizes())
    from runners.engine.tree import grow_tree

    tree = grow_tree(chunk)
    found = _branches(tree, 2, len(tree.tokens))
    assert tree.tokens[2:].tolist() == [3, 4, 5, 6, 7, 8]
    assert found.n_path == [2, 2, 1, 0]
    assert found.batch.sequences.tolist() == [1, 1, 2, 3, 4, 4]
    whole = _branches(tree, 0, len(tree.tokens)).batch
    assert whole.n_sequences.tolist() == [3, 2, 1, 1, 1, 1, 1, 1]
    assert whole.sequences.tolist() == [1, 2, 3, 1, 2, 1, 1, 2, 3, 4, 4]


def test_spec_says_type_licence_and_precision(gguf_file):
    from runners import resolve

    full = resolve(parse_model(f"gguf:{gguf_file()}"))
    small = resolve(parse_model(f"gguf:{gguf_file(kind='Q8_0')}?n_ctx=64&n_threads=2"))
    assert (full.quantization, full.dtype) == ("F32", "float32")
    assert (small.quantization, small.dtype, small.licence) == ("Q8_0", "float16", "Apache-2.0")
    assert (small.options, small.access) == ((("n_ctx", "64"),), (("n_threads", "2"),))
    assert resolve(small) == small
    assert not math.isnan(len(small.sha256))
