import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FAMILIES = (
    *("llama", "neox", "gpt2", "qwen2", "qwen2_sliding", "qwen3", "mistral"),
    *("gemma", "gemma2", "gemma3", "opt"),
)
VOCABULARY, WINDOW, ENDS = 384, 96, frozenset({1, 7, 9})


def config_of(family):
    import transformers as t

    shape = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1}
    if family == "gpt2":
        shape |= {"n_positions": WINDOW, "n_embd": 32, "n_layer": 2, "n_head": 4}
        return t.GPT2Config(initializer_range=0.3, **shape)
    shape |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape |= {"max_position_embeddings": WINDOW}
    if family == "opt":
        return t.OPTConfig(ffn_dim=64, word_embed_proj_dim=32, init_std=0.3, **shape)
    shape |= {"intermediate_size": 64, "initializer_range": 0.3}
    if family == "neox":
        return t.GPTNeoXConfig(**shape)
    shape |= {"num_key_value_heads": 2}
    wide = {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8}
    makers = {
        "llama": lambda: t.LlamaConfig(**shape),
        "qwen2": lambda: t.Qwen2Config(**shape),
        "qwen2_sliding": lambda: t.Qwen2Config(
            use_sliding_window=True, sliding_window=8, max_window_layers=1, **shape
        ),
        "qwen3": lambda: t.Qwen3Config(head_dim=16, **shape),
        "mistral": lambda: t.MistralConfig(sliding_window=8, **shape),
        "gemma": lambda: t.GemmaConfig(**shape | {"num_key_value_heads": 1, "head_dim": 16}),
        "gemma2": lambda: t.Gemma2Config(**wide, **shape),
        "gemma3": lambda: t.Gemma3TextConfig(**wide, **shape),
    }
    return makers[family]()


@pytest.fixture(scope="module")
def models():
    """Give a function that makes a family's model with random weights, once."""
    import torch
    from transformers import AutoModelForCausalLM

    made = {}

    def model(family):
        if family not in made:
            torch.manual_seed(0)
            # Of the attentions that come with transformers, only this one knows Gemma 2's capping.
            eager = {"attn_implementation": "eager"} if family == "gemma2" else {}
            made[family] = AutoModelForCausalLM.from_config(config_of(family), **eager).eval()
        return made[family]

    return model


def make_prompts(seed, *, n_each=6):
    """Two groups that share a beginning, some prompts that share nothing, one of them twice."""
    draw = random.Random(seed)

    def some(least, most):
        return [draw.randrange(2, VOCABULARY) for _ in range(draw.randint(least, most))]

    first, second = some(30, 30), some(12, 12)
    shared = [beginning + some(1, 14) for beginning in (first, second) for _ in range(n_each)]
    return [*shared, *(some(1, 50) for _ in range(3)), first, first]


def make_jobs(prompts, *, seed=0, **params):
    from evalcore.records import SamplingParams
    from runners.engine.generation import GenerationJob
    from runners.hf.generation import Ending

    draw = random.Random(seed)
    return [
        GenerationJob(
            prompt=prompt,
            params=SamplingParams(**{"max_new_tokens": draw.randint(1, 25)} | params),
            seed=index,
            ending=Ending(tokens=ENDS, strings=()),
        )
        for index, prompt in enumerate(prompts)
    ]


def run(model, jobs, **options):
    from runners.engine.generation import SlotOptions, decode_slots

    answers = [
        answer
        for some in decode_slots(model, jobs, decode=no_text, options=SlotOptions(**options))
        for answer in some
    ]
    assert sorted(answer.job for answer in answers) == list(range(len(jobs)))
    return sorted(answers, key=lambda answer: answer.job)


def no_text(answers):
    raise AssertionError("there is no stop string to look for")


def generate_alone(model, job):
    import torch

    ids = torch.tensor([job.prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=job.params.max_new_tokens,
        do_sample=False,
        eos_token_id=sorted(ENDS),
        pad_token_id=0,
    )
    return out[0, len(job.prompt) :].tolist()


@pytest.fixture
def eager_sharing(monkeypatch):
    """Let short prefixes count as worth sharing too."""
    monkeypatch.setattr("runners.engine.generation_prefixes._OVERHEAD", 8)


@pytest.mark.usefixtures("eager_sharing")
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_equal_transformers_own_greedy_one_by_one(models, family):
    jobs = make_jobs(make_prompts(0))
    answers = run(models(family), jobs, n_slots=4, pass_tokens=16)
    wanted = [generate_alone(models(family), job) for job in jobs]
    assert [answer.tokens for answer in answers] == wanted
    assert [answer.stopped for answer in answers] == [tokens[-1] in ENDS for tokens in wanted]


@pytest.mark.usefixtures("eager_sharing")
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_slots=st.integers(1, 9),
    pass_tokens=st.integers(1, 70),
    n_each=st.integers(0, 5),
)
def test_answers_do_not_depend_on_slots_or_passes(models, seed, n_slots, pass_tokens, n_each):
    jobs = make_jobs(make_prompts(seed, n_each=n_each), seed=seed)
    model = models("llama")
    answers = run(model, jobs, n_slots=n_slots, pass_tokens=pass_tokens)
    alone = [run(model, [job])[0].tokens for job in jobs]
    assert [answer.tokens for answer in answers] == alone


@pytest.mark.usefixtures("eager_sharing")
@pytest.mark.parametrize(
    "params",
    [{"temperature": 0.7}, {"temperature": 2.0, "top_k": 9}, {"temperature": 1.5, "top_p": 0.6}],
)
def test_sampled_answers_equal_the_plain_path_s(models, params):
    from runners.hf.generation import RowStop, decode_batch

    jobs = make_jobs(make_prompts(1), max_new_tokens=20, **params)
    answers = run(models("llama"), jobs, n_slots=5)
    plain = decode_batch(
        models("llama"),
        [job.prompt for job in jobs],
        params=jobs[0].params,
        seeds=[job.seed for job in jobs],
        stop=RowStop(jobs[0].ending, no_text),
    )
    assert [answer.tokens for answer in answers] == plain.tokens


def test_requests_of_all_kinds_are_decoded_together(models):
    kinds = [{}, {"temperature": 1.0}, {"temperature": 1.0, "top_k": 5}, {"max_new_tokens": 1}]
    jobs = [make_jobs(make_prompts(place), **kind)[place] for place, kind in enumerate(kinds)]
    together = run(models("llama"), jobs)
    assert [a.tokens for a in together] == [run(models("llama"), [job])[0].tokens for job in jobs]


@pytest.mark.parametrize("stop", [(), ("e",), ("the", "\n\n"), ("é", "日本", "ü")])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_answers_equal_the_plain_path_s(tiny_model, run_model, collect, stop, temperature):
    from evalcore.protocols import GenerateRequest
    from evalcore.records import SamplingParams

    texts = ["The quick", "", "日本語 too. Ünïcödé", "What is 12 + 30? " * 9, "tabs\tand", "é"]
    params = SamplingParams(max_new_tokens=40, stop=stop, temperature=temperature)
    requests = [GenerateRequest(prompt=text, params=params) for text in texts * 3]
    string = f"hf:{tiny_model.folder}"
    slots = collect(run_model(string, batch_size=4).generate(requests))
    plain = collect(run_model(string, engine="plain").generate(requests))
    assert [facts(answer) for answer in slots] == [facts(answer) for answer in plain]
    assert max(answer.n_truncated for answer in slots) > 0


def facts(answer):
    counts = (answer.prompt_tokens, answer.completion_tokens, answer.n_truncated)
    return answer.text, answer.finish_reason, *counts


def test_no_jobs_give_no_answers(models):
    assert run(models("llama"), []) == []


def test_answers_come_as_soon_as_they_end(models):
    from runners.engine.generation import SlotOptions, decode_slots

    jobs = make_jobs(make_prompts(2))
    stream = decode_slots(models("llama"), jobs, decode=no_text, options=SlotOptions(n_slots=3))
    sizes = [len(answers) for answers in stream]
    assert sum(sizes) == len(jobs)
    assert max(sizes) <= 3


def test_model_has_its_own_attention_between_answers(models):
    from runners.engine.generation import SlotOptions, decode_slots

    model = models("llama")
    before = model.config._attn_implementation
    stream = decode_slots(
        model, make_jobs(make_prompts(2)), decode=no_text, options=SlotOptions(n_slots=2)
    )
    next(stream)
    assert model.config._attn_implementation == before
    stream.close()


def test_shared_beginning_is_read_once(models):
    prompts = [[*range(2, 82), 100 + place] for place in range(10)]
    assert count_read(models("llama"), make_jobs(prompts, max_new_tokens=1)) == 80 + 10


def count_read(model, jobs):
    seen = []
    hook = model.get_input_embeddings().register_forward_hook(
        lambda _layer, inputs, _out: seen.append(inputs[0].numel())
    )
    run(model, jobs, n_slots=4)
    hook.remove()
    return sum(seen)


def test_out_of_memory_halves_the_rows_and_loses_no_answer(models, monkeypatch):
    import torch

    from runners.engine import generation

    forward, n_rows = generation.forward_slots, []

    def tight(model, step, **options):
        n_rows.append(step.n_decoding)
        if step.n_decoding > 2:
            raise torch.OutOfMemoryError("no room")
        return forward(model, step, **options)

    jobs = make_jobs(make_prompts(3), temperature=1.0)
    wanted = [answer.tokens for answer in run(models("llama"), jobs, n_slots=8)]
    monkeypatch.setattr(generation, "forward_slots", tight)
    assert [answer.tokens for answer in run(models("llama"), jobs, n_slots=8)] == wanted
    assert max(n_rows) > 2


@pytest.mark.usefixtures("eager_sharing")
def test_out_of_memory_on_a_shared_beginning_loses_no_answer(models, monkeypatch):
    import torch

    from runners.engine import generation

    forward, calls = generation.forward_slots, []

    def tight(model, step, **options):
        calls.append(step)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no room")
        return forward(model, step, **options)

    monkeypatch.setattr(generation, "forward_slots", tight)
    jobs = make_jobs(make_prompts(3))
    assert len(run(models("llama"), jobs, n_slots=8)) == len(jobs)


def test_memory_decides_how_many_rows_decode(models):
    model = models("llama")
    jobs = make_jobs([[50, 60, 70 + place] for place in range(9)], max_new_tokens=7)
    three_rows = 3 * 10 * 2 * 2 * 2 * 8 * 4
    assert n_decoded_together(model, jobs, memory_bytes=three_rows) == 3
    assert n_decoded_together(model, jobs, memory_bytes=1) == 1


def n_decoded_together(model, jobs, **options):
    from runners.engine import generation

    seen, forward = [], generation.forward_slots
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            generation,
            "forward_slots",
            lambda model, step, **options: (
                seen.append(step.n_decoding) or forward(model, step, **options)
            ),
        )
        run(model, jobs, **options)
    return max(seen)


@pytest.mark.parametrize("family", FAMILIES)
def test_supported_family_has_nothing_against_it(models, family):
    from runners.engine.support import why_no_slots

    assert why_no_slots(models(family)) is None


@pytest.mark.parametrize(
    ("family", "changes", "reason"),
    [
        ("bloom", {}, "no attention from outside"),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "original_max_position_embeddings": 16,
                    "short_factor": [1.0] * 4,
                    "long_factor": [2.0] * 4,
                }
            },
            "longrope",
        ),
    ],
)
def test_unsupported_model_says_why(family, changes, reason):
    from transformers import AutoModelForCausalLM, BloomConfig

    from runners.engine.support import why_no_slots

    config = BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)
    if family == "llama":
        config = config_of("llama")
        for name, value in changes.items():
            setattr(config, name, value)
    assert reason in why_no_slots(AutoModelForCausalLM.from_config(config).eval())


def test_trial_notices_attention_that_differs(models, monkeypatch):
    from runners.engine import slots_attention
    from runners.engine.support import why_no_slots

    halved = slots_attention._Layer
    monkeypatch.setattr(halved, "_capped", lambda layer, scores: scores / 2)
    assert "off by" in why_no_slots(models("llama"))


def test_output_in_blocks_equals_the_layer_s_own(models, monkeypatch):
    import torch

    from runners.engine import output_layer

    monkeypatch.setattr(output_layer, "_BLOCK", 100)
    model = models("llama")
    head = model.get_output_embeddings()
    hidden = torch.randn(3, head.in_features)
    wanted = head(hidden)
    with output_layer.output_in_blocks(model):
        assert "forward" in vars(head)
        assert torch.allclose(head(hidden), wanted, atol=1e-6)
    assert "forward" not in vars(head)


def test_output_layer_of_another_kind_is_left_alone(models):
    import copy

    from runners.engine.output_layer import output_in_blocks

    model = copy.deepcopy(models("llama")).bfloat16()
    with output_in_blocks(model):
        assert "forward" not in vars(model.get_output_embeddings())


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_gpu_answers_equal_the_cpu_s(models, family):
    import copy

    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    jobs = make_jobs(make_prompts(0))
    on_gpu = run(copy.deepcopy(models(family)).to("cuda"), jobs, n_slots=4)
    on_cpu = run(models(family), jobs, n_slots=4)
    assert [answer.tokens for answer in on_gpu] == [answer.tokens for answer in on_cpu]
