import json

import pytest

from evalcore.protocols import LoglikelihoodRequest
from runners import open_runners, parse_model
from runners.hf import resident

PAIRS = [
    ("The quick brown", " fox jumps over the lazy dog"),
    ("What is 12 + 30?", " The answer is 42."),
    ("", "Good morning"),
]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]


def add_by_hand(model, folder, weight):
    """Add weight · scaling · B·A to the weights of a plain model."""
    from safetensors.torch import load_file
    from transformers.pytorch_utils import Conv1D

    config = json.loads((folder / "adapter_config.json").read_text())
    rank = config["r"]
    scaling = config["lora_alpha"] / (rank**0.5 if config["use_rslora"] else rank)
    tensors = load_file(folder / "adapter_model.safetensors")
    for name in [name for name in tensors if name.endswith("lora_A.weight")]:
        product = tensors[name.replace("lora_A", "lora_B")] @ tensors[name]
        path = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        module = model.get_submodule(path)
        delta = weight * scaling * product
        module.weight += delta.T if isinstance(module, Conv1D) else delta


def stack_string(model, weights):
    return f"hf:{model.folder}" + "".join(
        f"+lora:{model.adapters[name]}*{weight}" for name, weight in weights.items()
    )


def logprobs(runner, collect):
    return [result.logprob for result in collect(runner.loglikelihood(REQUESTS))]


@pytest.mark.parametrize(
    "weights",
    [{"first": 1}, {"second": 1}, {"first": 1, "second": 1}, {"second": -0.5, "first": 0.25}],
)
def test_stack_equals_the_sum_of_matrices(tiny_model, run_model, collect, plain, weights):
    model, tokenizer = plain.load(tiny_model.folder)
    for name, weight in weights.items():
        add_by_hand(model, tiny_model.adapters[name], weight)
    wanted = [plain.loglikelihood(model, tokenizer, *pair)[0] for pair in PAIRS]
    runner = run_model(stack_string(tiny_model, weights))
    assert logprobs(runner, collect) == pytest.approx(wanted, abs=1e-4)
    base = [plain.loglikelihood(*plain.load(tiny_model.folder), *pair)[0] for pair in PAIRS]
    assert max(abs(a - b) for a, b in zip(base, wanted, strict=True)) > 0.1


def test_one_base_serves_all_its_variants(llama, tiny_models, monkeypatch):
    loaded = []
    load = resident.load_base
    monkeypatch.setattr(resident, "load_base", lambda spec: loaded.append(spec) or load(spec))
    neox = tiny_models["neox"]
    strings = [
        f"hf:{llama.folder}",
        f"hf:{neox.folder}",
        stack_string(llama, {"first": 1}),
        f"hf:{llama.folder}?template=alpaca",
        stack_string(neox, {"first": 1, "second": 2}),
        stack_string(llama, {"first": 0.5, "second": 1}),
    ]
    names = [runner.spec.name for runner in open_runners([parse_model(s) for s in strings])]
    assert len(loaded) == 2
    assert names == [parse_model(strings[i]).name for i in (0, 2, 3, 5, 1, 4)]


@pytest.mark.parametrize("query", ["", "?dtype=bf16", "?quant=int8", "?quant=nf4"])
def test_switching_back_restores_the_base_to_the_last_digit(llama, collect, query):
    strings = [stack_string(llama, weights) for weights in ({}, {"first": 1}, {"second": 2}, {})]
    strings = [s.replace(str(llama.folder), f"{llama.folder}{query}", 1) for s in strings]
    found = [logprobs(r, collect) for r in open_runners([parse_model(s) for s in strings])]
    assert found[0] == found[3]
    assert found[0] != found[1]
    assert found[1] != found[2]


def test_variants_can_be_used_in_turns(llama, collect):
    from runners import resolve
    from runners.hf.resident import HfResident
    from runners.options import RunnerOptions

    specs = [resolve(parse_model(stack_string(llama, w))) for w in ({}, {"first": 1})]
    base = HfResident(specs[0], RunnerOptions())
    one, other = (base.runner(spec) for spec in specs)
    alone = logprobs(one, collect), logprobs(other, collect)
    assert (logprobs(one, collect), logprobs(other, collect)) == alone
    base.close()


def test_weight_of_zero_is_the_base(llama, run_model, collect):
    base = logprobs(run_model(f"hf:{llama.folder}"), collect)
    zero = logprobs(run_model(stack_string(llama, {"first": 0})), collect)
    assert zero == pytest.approx(base, abs=1e-5)


def test_order_of_a_stack_changes_its_identity_and_rounding_only(llama, run_model, collect):
    one = run_model(stack_string(llama, {"first": 1, "second": 1}))
    other = run_model(stack_string(llama, {"second": 1, "first": 1}))
    assert one.spec.fingerprint != other.spec.fingerprint
    assert logprobs(one, collect) == pytest.approx(logprobs(other, collect), abs=1e-4)


@pytest.mark.parametrize(("quantization", "tolerance"), [("int8", 0.02), ("nf4", 0.15)])
def test_stack_on_a_quantised_base_is_near_the_exact_one(
    tiny_model, run_model, collect, quantization, tolerance
):
    exact = stack_string(tiny_model, {"first": 1, "second": 1})
    quantised = exact.replace("+lora:", f"?quant={quantization}+lora:", 1)
    wanted = logprobs(run_model(exact), collect)
    found = logprobs(run_model(quantised), collect)
    assert found == pytest.approx(wanted, rel=tolerance)
    assert found != wanted


def test_adapter_read_after_the_quantised_base_has_run_is_the_same(llama, run_model, collect):
    string = f"hf:{llama.folder}?quant=nf4"
    stacked = f"{string}+lora:{llama.adapters['first']}"
    after_base = [
        logprobs(runner, collect) for runner in open_runners(map(parse_model, (string, stacked)))
    ]
    assert after_base[1] == logprobs(run_model(stacked), collect)


def test_size_on_disk_counts_base_and_adapters(llama, run_model):
    (finished,) = run_model(stack_string(llama, {"first": 1})).loglikelihood(REQUESTS)
    files = [
        llama.folder / "model.safetensors",
        llama.adapters["first"] / "adapter_model.safetensors",
    ]
    assert finished.efficiency.size_on_disk_bytes == sum(f.stat().st_size for f in files)
