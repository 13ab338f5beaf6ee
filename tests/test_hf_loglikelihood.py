import pytest

from evalcore.errors import InputError, ModelError
from evalcore.protocols import LoglikelihoodRequest, RollingRequest
from runners import open_runners, parse_model

PAIRS = [
    ("The quick brown", " fox jumps over the lazy dog"),
    ("The quick brown ", "fox"),
    ("What is 12 + 30?\n\n", "The answer is 42."),
    ("", "Good morning"),
    ("  \n", "Good"),
    ("Question: why", "?"),
    ("日本", "語 too"),
    ("USER: Hello there! " * 12, "ASSISTANT: Good morning"),
]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]
TEXTS = ["The quick brown fox.", "", "seven wizards watch it quietly, " * 40, "x"]


@pytest.fixture(params=["auto", "plain"])
def engine(request) -> str:
    """With and without sharing what requests have in common."""
    return request.param


def plain_rolling(model, tokenizer, text):
    """Score token after token, window by window."""
    import torch

    window = model.config.max_position_embeddings
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else 1
    total = 0.0
    for at, token in enumerate(ids):
        end = min((at // window + 1) * window, len(ids))
        start = max(0, end - window)
        read = [first, *ids][start : at + 1]
        total += model(torch.tensor([read])).logits[0, -1].log_softmax(-1)[token].item()
    return total, len(ids)


def test_loglikelihoods_equal_a_plain_forward(tiny_model, run_model, engine, collect, plain):
    runner = run_model(f"hf:{tiny_model.folder}", engine=engine, batch_size=3)
    model = plain.load(tiny_model.folder)
    for result, (context, continuation) in zip(
        collect(runner.loglikelihood(REQUESTS)), PAIRS, strict=True
    ):
        logprob, n_tokens = plain.loglikelihood(*model, context, continuation)
        assert result.logprob == pytest.approx(logprob, abs=1e-4)
        assert result.n_tokens == n_tokens


def test_context_longer_than_the_window_is_cut_and_counted(tiny_model, run_model, collect):
    runner = run_model(f"hf:{tiny_model.folder}")
    short, long = collect(runner.loglikelihood([REQUESTS[0], REQUESTS[-1]]))
    assert short.n_truncated == 0
    assert long.n_truncated > 0


def test_rolling_equals_a_naive_loop(tiny_model, run_model, engine, collect, plain):
    runner = run_model(f"hf:{tiny_model.folder}", engine=engine, batch_size=2)
    model = plain.load(tiny_model.folder)
    results = collect(runner.loglikelihood_rolling([RollingRequest(text=t) for t in TEXTS]))
    for result, text in zip(results, TEXTS, strict=True):
        logprob, n_tokens = plain_rolling(*model, text)
        assert result.logprob == pytest.approx(logprob, abs=1e-3, rel=1e-6)
        assert result.n_tokens == n_tokens


def test_empty_continuation_and_empty_text_are_certain(llama, run_model, collect):
    runner = run_model(f"hf:{llama.folder}")
    empty = LoglikelihoodRequest(context="The", continuation="")
    results = collect(runner.loglikelihood([REQUESTS[0], empty]))
    results += collect(runner.loglikelihood_rolling([RollingRequest(text="")]))
    assert [(r.logprob, r.is_greedy, r.n_tokens) for r in results[1:]] == [(0.0, True, 0)] * 2


def test_no_requests_give_no_results(llama, run_model, collect):
    runner = run_model(f"hf:{llama.folder}")
    assert collect(runner.loglikelihood([])) == []
    assert collect(runner.loglikelihood_rolling([])) == []


def test_same_call_gives_the_same_digits(llama, run_model, collect):
    first = collect(run_model(f"hf:{llama.folder}").loglikelihood(REQUESTS))
    for runner in open_runners([parse_model(f"hf:{llama.folder}")]):
        assert collect(runner.loglikelihood(REQUESTS)) == first


@pytest.mark.parametrize("sizes", [{"batch_size": 1}, {"batch_tokens": 40}, {"batch_size": 64}])
def test_other_batch_size_changes_rounding_only(tiny_model, run_model, engine, collect, sizes):
    usual = collect(run_model(f"hf:{tiny_model.folder}", engine=engine).loglikelihood(REQUESTS))
    other = collect(
        run_model(f"hf:{tiny_model.folder}", engine=engine, **sizes).loglikelihood(REQUESTS)
    )
    for a, b in zip(usual, other, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=1e-4)
        assert a.is_greedy == b.is_greedy


@pytest.mark.parametrize("n_done", [1, 2, 3])
def test_rest_of_an_interrupted_job_gives_the_same_digits(llama, run_model, engine, n_done):
    runner = run_model(f"hf:{llama.folder}", engine=engine, batch_size=3, batch_tokens=120)
    requests = [RollingRequest(text=text * n) for text in TEXTS for n in (1, 2, 3)]
    whole = dict(p for batch in runner.loglikelihood_rolling(requests) for p in batch.results)
    done = dict(
        p
        for batch, _ in zip(runner.loglikelihood_rolling(requests), range(n_done), strict=False)
        for p in batch.results
    )
    left = [index for index in range(len(requests)) if index not in done]
    rest = {
        left[at]: result
        for batch in runner.loglikelihood_rolling([requests[index] for index in left])
        for at, result in batch.results
    }
    assert done | rest == whole


def test_continuation_is_greedy_if_each_token_is_the_likeliest(llama, run_model, collect, plain):
    import torch

    model, tokenizer = plain.load(llama.folder)
    prompts = [text[:n] for text in TEXTS for n in range(1, len(text[:40]), 2)]
    pairs = []
    for prompt in prompts:
        ids = tokenizer(prompt)["input_ids"]
        likeliest = model(torch.tensor([ids])).logits[0, -1].argmax().item()
        text = tokenizer.decode([likeliest])
        if tokenizer(prompt + text)["input_ids"] == [*ids, likeliest]:
            pairs += [(prompt, text, True), (prompt, text + "q", False)]
    requests = [LoglikelihoodRequest(context=a, continuation=b) for a, b, _ in pairs]
    results = collect(run_model(f"hf:{llama.folder}").loglikelihood(requests))
    assert len(pairs) > 10
    assert [result.is_greedy for result in results] == [greedy for *_, greedy in pairs]


def test_continuation_longer_than_the_window_names_both_lengths(llama, run_model):
    runner = run_model(f"hf:{llama.folder}")
    long = LoglikelihoodRequest(context="a", continuation="wizards " * 96)
    with pytest.raises(InputError, match=r"window of 96 tokens; got one of \d+ tokens"):
        list(runner.loglikelihood([REQUESTS[0], long]))


def test_work_is_counted(llama, run_model):
    runner = run_model(f"hf:{llama.folder}")
    (finished,) = runner.loglikelihood(REQUESTS[:2])
    spent = finished.efficiency
    n_read = sum(result.n_tokens for _, result in finished.results)
    assert spent.prefill_tokens > n_read
    assert spent.prefill_s > 0
    assert (spent.decode_tokens, spent.decode_s) == (0, 0)
    assert spent.size_on_disk_bytes == (llama.folder / "model.safetensors").stat().st_size
    assert spent.peak_memory_bytes > 10_000_000


def test_closed_runner_says_so(llama):
    (runner,) = open_runners([parse_model(f"hf:{llama.folder}")])
    with pytest.raises(ModelError, match="'llama' is closed"):
        next(runner.loglikelihood(REQUESTS))
