from contextlib import closing

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalcore.protocols import LoglikelihoodRequest, RollingRequest
from runners import RunnerOptions, open_runners, parse_model
from runners.engine.last_layer import LastLayer
from runners.engine.memory import Governor
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.reading import read_scores
from runners.engine.scoring import TreeScorer
from runners.engine.support import why_no_trees
from runners.hf.scoring import Span, score_spans

VOCABULARY = 96
SMALL = Sizes(chunk_tokens=24, block_tokens=4, segment_tokens=5)
COMMON = {"vocab_size": VOCABULARY, "initializer_range": 0.3}
COMMON |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
SHAPE = COMMON | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"intermediate_size": 64, "max_position_embeddings": 96}
GROUPED = SHAPE | {"num_key_value_heads": 2}
FAMILIES = {
    "llama": ("LlamaConfig", GROUPED),
    "llama with rotations that may stretch": (
        "LlamaConfig",
        GROUPED | {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "neox": ("GPTNeoXConfig", SHAPE),
    "gpt2": ("GPT2Config", COMMON | {"n_positions": 96, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "mistral": ("MistralConfig", GROUPED | {"sliding_window": 6}),
    "mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 3}),
    "qwen2": ("Qwen2Config", GROUPED),
    "qwen2 with some sliding layers": (
        "Qwen2Config",
        GROUPED | {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3Config", GROUPED | {"head_dim": 8}),
    "gemma": ("GemmaConfig", SHAPE | {"num_key_value_heads": 1, "head_dim": 8}),
    "gemma2": ("Gemma2Config", GROUPED | {"head_dim": 8, "sliding_window": 6}),
    "gemma3": ("Gemma3TextConfig", GROUPED | {"head_dim": 8, "sliding_window": 6}),
    "phi3": ("Phi3Config", GROUPED),
}


def make_model(name, **changes):
    kind, config = FAMILIES[name]
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**config | changes)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(scope="module")
def models():
    return {name: make_model(name) for name in FAMILIES}


def scorer(model, sizes=SMALL, *, max_rows=64, budget_bytes=2**40):
    governor = Governor.of(model, budget_bytes=budget_bytes, max_rows=max_rows)
    return TreeScorer(model, governor, sizes)


def scored(model, work, sizes=SMALL, **limits):
    """Results by request, those without spans left out."""
    trees = scorer(model, sizes, **limits)
    return dict(pair for c in plan_chunks(work, sizes) for pair in trees.score(c).results)


def assert_equal_to_naive(model, work, results):
    assert sorted(results) == [request for request, spans in enumerate(work) if spans]
    for request, found in results.items():
        naive = [score_spans(model, [span])[0] for span in work[request]]
        total = sum(result.logprob for result in naive)
        assert found.logprob == pytest.approx(total, abs=1e-4, rel=1e-6)
        assert found.is_greedy == all(result.is_greedy for result in naive)
        assert found.n_tokens == sum(result.n_tokens for result in naive)


@st.composite
def trees_of_requests(draw):
    """Requests whose beginnings are shared in any way, some of them twice, some with no spans."""
    tokens = st.integers(0, VOCABULARY - 1)
    stems = draw(st.lists(st.lists(tokens, min_size=1, max_size=30), min_size=1, max_size=3))
    work = [[]]
    for _ in range(draw(st.integers(1, 8))):
        stem = draw(st.sampled_from(stems))
        context = stem[: draw(st.integers(1, len(stem)))] + draw(st.lists(tokens, max_size=3))
        for _ in range(draw(st.integers(1, 4))):
            choice = draw(st.lists(tokens, min_size=1, max_size=4))
            work.append([Span(inputs=[*context, *choice[:-1]], targets=choice)])
    return [*work, work[-1]]


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(work=trees_of_requests(), max_rows=st.integers(1, 64))
def test_each_family_scores_as_a_naive_forward_does(models, name, work, max_rows):
    results = scored(models[name], work, max_rows=max_rows)
    assert_equal_to_naive(models[name], work, results)


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_is_driven_by_the_engine(models, name):
    assert why_no_trees(models[name]) is None


def test_model_has_its_own_attention_afterwards(models):
    before = models["llama"].config._attn_implementation
    scored(models["llama"], [[Span(inputs=[5, 6], targets=[7])]])
    assert models["llama"].config._attn_implementation == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scores_are_read_as_from_all_logits_at_once(dtype):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(70, 9, generator=draw).to(dtype)
    logits[3] = 1.0  # all are equal: the first is the greedy one
    rows = torch.randint(70, (200,), generator=draw)
    rows[:9] = 3
    targets = torch.randint(9, (200,), generator=draw)
    targets[:9] = torch.arange(9)
    logprobs, is_greedy = read_scores(logits, rows.numpy(), targets.numpy())
    wanted = torch.log_softmax(logits.float(), -1)[rows, targets]
    assert logprobs == pytest.approx(wanted.double().numpy(), abs=1e-6)
    assert is_greedy.tolist() == (logits.argmax(-1)[rows] == targets).tolist()
    assert read_scores(logits, rows[:0].numpy(), targets[:0].numpy())[0].shape == (0,)


def test_shared_tokens_are_computed_once(models):
    stem = list(range(10, 30))
    work = [[Span(inputs=[*stem, choice], targets=[3])] for choice in range(40, 48)]
    (chunk,) = plan_chunks(work, Sizes(block_tokens=8))
    result = scorer(models["llama"], Sizes(block_tokens=8)).score(chunk)
    assert (result.n_tokens, result.n_computed) == (8 * 21, 20 + 8)


@pytest.mark.parametrize("name", FAMILIES)
def test_last_layer_goes_on_only_where_a_score_is_read(models, name):
    (part,) = LastLayer(models[name]).parts
    n_rows = []
    hook = part.register_forward_hook(lambda _part, seen, _out: n_rows.append(seen[0].shape[1]))
    scored(models[name], [[Span(inputs=list(range(2, 12)), targets=[12, 13, 14])]], Sizes())
    hook.remove()
    assert n_rows == [3]


def test_trunk_is_kept_for_the_chunks_that_share_it(models):
    stem = list(range(10, 30))
    work = [
        [Span(inputs=[*stem, 30 + d, *[50 + d] * 9, c], targets=[3])]
        for d in range(8)
        for c in range(2)
    ]
    chunks = list(plan_chunks(work, SMALL))
    trees = scorer(models["llama"])
    n_first, *n_others = [trees.score(chunk).n_computed for chunk in chunks]
    assert len(chunks) == 4
    assert n_others == [n_first - len(stem)] * 3


def test_trunk_that_differs_within_a_block_is_computed_from_the_blocks_beginning(models):
    trees = scorer(models["llama"])
    n_computed = []
    for trunk in ([*range(10, 22)], [*range(10, 15), *range(60, 67)]):
        work = [[Span(inputs=[*trunk, choice], targets=[3])] for choice in range(8)]
        (chunk,) = plan_chunks(work, SMALL)
        result = trees.score(chunk)
        n_computed.append(result.n_computed)
        assert_equal_to_naive(models["llama"], work, dict(result.results))
    assert n_computed == [12 + 8, 8 + 8]


def test_trunk_of_other_weights_is_not_used():
    model = make_model("llama")
    work = [[Span(inputs=[*range(10, 30), choice], targets=[3])] for choice in range(8)]
    (chunk,) = plan_chunks(work, SMALL)
    trees = scorer(model)
    trees.score(chunk, variant="before")
    with torch.no_grad():
        model.model.layers[0].self_attn.v_proj.weight.mul_(1.5)
    changed = dict(trees.score(chunk, variant="after").results)
    assert_equal_to_naive(model, work, changed)


def test_bf16_stays_close_to_the_plain_path(models):
    model = make_model("llama").to(torch.bfloat16)
    assert why_no_trees(model) is None


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("llama", {"rope_parameters": {"rope_type": "longrope", "factor": 2.0}}, "longrope"),
        ("qwen2", {"layer_types": ["full_attention", "chunked_attention"]}, "chunked_attention"),
    ],
)
def test_model_whose_attention_is_unknown_is_refused(name, changes, reason):
    model = make_model("llama")
    for setting, value in changes.items():
        setattr(model.config, setting, value)
    assert reason in why_no_trees(model)


def test_model_without_positions_is_refused():
    config = transformers.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=1, n_head=2)
    assert "attention" in why_no_trees(transformers.AutoModelForCausalLM.from_config(config))


def test_sliding_window_that_attention_is_not_told_of_is_refused():
    model = make_model("llama")
    model.config.sliding_window = 6
    assert why_no_trees(model) == ("layer 0 has a sliding window of 6, not told to its attention")


def test_model_that_computes_otherwise_in_a_tree_is_refused(monkeypatch):
    model = make_model("llama")
    rotate = model.model.rotary_emb.forward
    monkeypatch.setattr(
        model.model.rotary_emb,
        "forward",
        lambda x, position_ids: rotate(x, torch.arange(x.shape[1])[None] * position_ids.sign()),
    )
    assert "differ" in why_no_trees(model)


# Through the runner, from text.

CONTEXT = "What is 12 + 30? The answer is 42. Name three colours:"
REQUESTS = [
    LoglikelihoodRequest(context=context, continuation=continuation)
    for context in (
        "",
        "Question: why",
        "Question: why ",
        CONTEXT,
        f"{CONTEXT} red and 日",
        CONTEXT * 6,
        "Ünïcöd",
    )
    for continuation in (" green", " green and blue.", "", "é", "本語", " ", " g", " green")
]
ROLLING = [RollingRequest(text=text) for text in ("", "a", CONTEXT, CONTEXT * 7, CONTEXT, "日本語")]


@pytest.fixture
def both(run_model, collect):
    """Results with the engine and in static batches."""

    def run(text, requests, kind="loglikelihood"):
        return [
            collect(getattr(run_model(text, engine=engine), kind)(requests))
            for engine in ("auto", "plain")
        ]

    return run


def assert_equal(found, wanted, tolerance=1e-4):
    for a, b in zip(found, wanted, strict=True):
        assert a.logprob == pytest.approx(b.logprob, abs=tolerance, rel=1e-6)
        assert (a.is_greedy, a.n_tokens, a.n_truncated) == (b.is_greedy, b.n_tokens, b.n_truncated)


def test_engine_scores_texts_as_static_batches_do(tiny_model, both):
    assert_equal(*both(f"hf:{tiny_model.folder}", REQUESTS))


def test_engine_scores_long_texts_as_static_batches_do(tiny_model, both):
    assert_equal(*both(f"hf:{tiny_model.folder}", ROLLING, "loglikelihood_rolling"))


def test_engine_scores_stacks_as_static_batches_do(tiny_model, both):
    stack = "".join(f"+lora:{path}" for path in tiny_model.adapters.values())
    assert_equal(*both(f"hf:{tiny_model.folder}{stack}*0.5", REQUESTS))


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_engine_scores_quantised_stacks_as_static_batches_do(llama, both, quantization):
    text = f"hf:{llama.folder}?quant={quantization}+lora:{llama.adapters['first']}"
    found, wanted = both(text, REQUESTS)
    # Both compute in low precision, in which rounding depends on what is multiplied together.
    for a, b in zip(found, wanted, strict=True):
        assert a.logprob == pytest.approx(b.logprob, rel=0.05, abs=0.5)
        assert a.n_tokens == b.n_tokens


def test_variants_used_in_turns_do_not_mix(llama, collect):
    texts = [f"hf:{llama.folder}", f"hf:{llama.folder}+lora:{llama.adapters['first']}"]
    from runners.hf.resident import HfResident
    from runners.resolving import resolve

    specs = [resolve(parse_model(text)) for text in texts]
    with closing(HfResident(specs[0].base, RunnerOptions())) as resident:
        runners = [resident.runner(spec) for spec in specs]
        alone = [collect(runner.loglikelihood(REQUESTS)) for runner in runners]
        streams = [runner.loglikelihood(REQUESTS) for runner in runners]
        turns = [[finished] for finished in zip(*streams, strict=True)]
        mixed = [collect(turn[0][at] for turn in turns) for at in (0, 1)]
    assert mixed == alone
    assert mixed[0] != mixed[1]


def test_requests_are_tokenised_once_for_all_variants(llama, collect, monkeypatch):
    from runners.hf.encoding import Encoder

    calls = []
    pairs = Encoder.pairs
    monkeypatch.setattr(Encoder, "pairs", lambda self, r: calls.append(len(r)) or pairs(self, r))
    specs = [
        parse_model(f"hf:{llama.folder}{tail}") for tail in ("", f"+lora:{llama.adapters['first']}")
    ]
    with closing(open_runners(specs)) as runners:
        for runner in runners:
            collect(runner.loglikelihood(REQUESTS))
    assert calls == [len(REQUESTS)]


@pytest.fixture
def fresh(llama):
    """A runner of a base that is loaded for it."""
    with closing(open_runners([parse_model(f"hf:{llama.folder}")])) as runners:
        yield next(runners)


def test_killed_run_goes_on_with_the_same_numbers(llama, fresh, collect, monkeypatch):
    monkeypatch.setattr("runners.engine.support._CPU_SIZES", SMALL)
    requests = [
        LoglikelihoodRequest(context=f"{CONTEXT} {place // 3} is", continuation=f" {place}")
        for place in range(120)
    ]
    whole = list(fresh.loglikelihood(requests))
    kept = {place for finished in whole[: len(whole) // 2] for place, _ in finished.results}
    left = [place for place in range(len(requests)) if place not in kept]
    with closing(open_runners([parse_model(f"hf:{llama.folder}")])) as runners:
        resumed = collect(next(runners).loglikelihood([requests[place] for place in left]))
    wanted = dict(pair for finished in whole for pair in finished.results)
    assert len(whole) > 4
    assert resumed == [wanted[place] for place in left]


def test_model_that_the_engine_cannot_drive_runs_in_static_batches(
    llama, fresh, run_model, collect, monkeypatch, caplog
):
    monkeypatch.setattr("runners.engine.support.why_no_trees", lambda model: "it is odd")
    results = collect(fresh.loglikelihood(REQUESTS))
    assert "it is odd" in caplog.text
    plain = run_model(f"hf:{llama.folder}", engine="plain")
    assert results == collect(plain.loglikelihood(REQUESTS))


def test_duplicates_and_empty_continuations_are_all_answered(llama, run_model, collect):
    request = LoglikelihoodRequest(context="Question", continuation="")
    results = collect(run_model(f"hf:{llama.folder}").loglikelihood([request, *REQUESTS, request]))
    assert results[0] == results[-1]
    assert (results[0].logprob, results[0].n_tokens, results[0].is_greedy) == (0.0, 0, True)


def test_no_requests_give_no_results(llama, run_model):
    assert list(run_model(f"hf:{llama.folder}").loglikelihood([])) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_scores_on_cuda_as_a_naive_forward_does(name):
    model = make_model(name).to("cuda")
    stem = list(range(5, 45))
    work = [[Span(inputs=[*stem, d, d, c], targets=[c, 3])] for d in range(6) for c in range(4)]
    assert_equal_to_naive(model, work, scored(model, work))
