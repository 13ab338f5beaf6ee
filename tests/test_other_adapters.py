"""LLaMA-Adapter, prefix tuning, prompt tuning and IA3 on a resident base, against plain peft."""

import json
import warnings

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest
from evalcore.records import SamplingParams
from runners import open_runners, parse_model, resolve

PAIRS = [
    ("The quick brown", " fox jumps over the lazy dog"),
    ("What is 12 + 30?", " The answer is 42."),
    ("", "Good morning"),
]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]
PROMPTS = ["The quick brown fox", "What", "Name three colours: red,"]
KINDS = ["ia3", "adaption", "prefix", "prompt"]
N_VIRTUAL = 5


def config_of(kind: str):
    import peft

    shared = {"task_type": "CAUSAL_LM"}
    return {
        "ia3": lambda: peft.IA3Config(
            target_modules=["k_proj", "v_proj", "down_proj"],
            feedforward_modules=["down_proj"],
            **shared,
        ),
        "adaption": lambda: peft.AdaptionPromptConfig(adapter_len=4, adapter_layers=2, **shared),
        "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=N_VIRTUAL, **shared),
        "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=N_VIRTUAL, **shared),
    }[kind]()


@pytest.fixture(scope="module")
def others(llama):
    """An adapter of each kind with random, non-zero values."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    folders = {}
    for kind in KINDS:
        torch.manual_seed(len(kind))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            base = AutoModelForCausalLM.from_pretrained(llama.folder)
            adapted = peft.get_peft_model(base, config_of(kind))
        for name, parameter in adapted.named_parameters():
            if "ia3_l" in name or "adaption" in name or "prompt_encoder" in name:
                torch.nn.init.normal_(parameter, std=0.5)
        folders[kind] = llama.folder.parent / f"llama-{kind}"
        adapted.save_pretrained(folders[kind])
    return folders


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def by_peft(llama, folder):
    import peft
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(llama.folder)
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    return peft.PeftModel.from_pretrained(base, folder).eval(), tokenizer


def peft_logprob(adapted, tokenizer, context, continuation):
    import torch

    whole = tokenizer(context + continuation)["input_ids"]
    n_context = len(tokenizer(context)["input_ids"])
    with torch.inference_mode():
        logits = adapted(input_ids=torch.tensor([whole])).logits[0, -len(whole) :]
    picked = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(whole[1:])[:, None])[:, 0]
    return float(picked[n_context - 1 :].sum())


def peft_answer(adapted, tokenizer, prompt):
    """Decode greedily with whole forward passes, so that no cache is in play."""
    import torch

    ids = tokenizer(prompt)["input_ids"]
    n_prompt = len(ids)
    with torch.inference_mode():
        for _ in range(8):
            ids.append(int(adapted(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] == tokenizer.eos_token_id:
                break
    return tokenizer.decode(ids[n_prompt:], skip_special_tokens=True)


def logprobs(runner, collect):
    return [result.logprob for result in collect(runner.loglikelihood(REQUESTS))]


def answers(runner, collect):
    params = SamplingParams(max_new_tokens=8)
    requests = [GenerateRequest(prompt=prompt, params=params) for prompt in PROMPTS]
    return [answer.text for answer in collect(runner.generate(requests))]


def test_adapter_computes_what_peft_does(llama, others, run_model, collect, kind):
    adapted, tokenizer = by_peft(llama, others[kind])
    runner = run_model(f"hf:{llama.folder}+adapter:{others[kind]}")
    wanted = [peft_logprob(adapted, tokenizer, *pair) for pair in PAIRS]
    assert logprobs(runner, collect) == pytest.approx(wanted, abs=2e-4)
    base = logprobs(run_model(f"hf:{llama.folder}"), collect)
    assert max(abs(a - b) for a, b in zip(base, wanted, strict=True)) > 0.1
    assert answers(runner, collect) == [peft_answer(adapted, tokenizer, p) for p in PROMPTS]


@pytest.mark.parametrize("query", ["", "?quant=int8", "?quant=nf4", "?quant=torchao-int8"])
def test_kinds_are_switched_on_one_base_that_is_restored(llama, others, collect, query):
    base = f"hf:{llama.folder}{query}"
    lora = f"{base}+lora:{llama.adapters['first']}"
    strings = [base, lora, *(f"{base}+adapter:{others[kind]}" for kind in KINDS)]
    specs = [parse_model(text) for text in (*strings, *strings)]
    found = [logprobs(runner, collect) for runner in open_runners(specs)]
    assert found[: len(strings)] == found[len(strings) :]
    assert len({tuple(some) for some in found}) == len(strings)


def test_modules_of_the_base_are_the_same_objects_again(llama, others, kind):
    from evalcore.records import Adapter
    from runners.hf.loading import load_base

    base = load_base(resolve(parse_model(f"hf:{llama.folder}")))
    before = list(base.model.modules())
    adapter = Adapter(name=kind, path=str(others[kind]), sha256=kind)
    base.adapters.activate((adapter,))
    base.adapters.activate(())
    assert all(a is b for a, b in zip(before, base.model.modules(), strict=True))
    assert not base.model._forward_pre_hooks


def test_engine_serves_ia3_and_leaves_the_others_alone_with_a_reason(
    llama, others, collect, kind, caplog
):
    spec = parse_model(f"hf:{llama.folder}+adapter:{others[kind]}")
    (_,) = (logprobs(runner, collect) for runner in open_runners([spec]))
    reasons = [r.getMessage() for r in caplog.records if "requests one by one" in r.getMessage()]
    assert len(reasons) == (kind != "ia3")
    if kind in ("prefix", "prompt"):
        assert f"{N_VIRTUAL} virtual tokens stand in front of every text" in reasons[0]


def test_virtual_tokens_take_their_place_from_the_window(llama, others, run_model, collect):
    runner = run_model(f"hf:{llama.folder}+adapter:{others['prefix']}")
    request = LoglikelihoodRequest(context="a b " * 200, continuation="c")
    (result,) = collect(runner.loglikelihood([request]))
    whole = run_model(f"hf:{llama.folder}")
    (of_base,) = collect(whole.loglikelihood([request]))
    assert result.n_truncated == of_base.n_truncated + N_VIRTUAL


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("ia3", "IA3 multiplies activations"),
        ("adaption", "LLaMA-Adapter adds to what attention returns"),
        ("prefix", "prefix tuning puts keys and values of its own in front"),
        ("prompt", "prompt tuning puts virtual tokens in front"),
    ],
)
def test_stack_with_another_kind_is_refused_with_the_reason(llama, others, kind, reason):
    base, other = f"hf:{llama.folder}", f"+adapter:{others[kind]}"
    for text, message in [
        (f"{base}+lora:{llama.adapters['first']}{other}", "can't be part of a stack"),
        (f"{base}{other}*0.5", "takes no weight"),
        (f"{base}?combine=svd{other}", "can't be combined by svd"),
    ]:
        with pytest.raises(ModelError, match=message) as caught:
            resolve(parse_model(text))
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_adapter_of_another_size_is_one_line(llama, others, wide_llama, kind):
    spec = parse_model(f"hf:{wide_llama}+adapter:{others[kind]}")
    config = others[kind] / "adapter_config.json"
    fields = json.loads(config.read_text())
    config.write_text(json.dumps(fields | {"base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="does not fit the base: ") as caught:
        next(open_runners([spec]))
    config.write_text(json.dumps(fields))
    assert "\n" not in str(caught.value)
