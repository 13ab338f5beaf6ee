"""What quantising the tiny family costs, and what its adapters take in memory, held to limits."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from evalcore.quantlab.texts import texts_of
from evalcore.stats.divergence import kl_divergences
from evalcore.tasks import load_task
from runners import open_runners, parse_model

STACK = "+lora:zoo:tiny-instruct+lora:zoo:tiny-math"
LIMITS = {
    "dtype=fp16": 1e-5,
    "dtype=bf16": 1e-3,
    "quant=int8&dtype=bf16": 1e-3,
    "quant=torchao-int8&dtype=bf16": 1e-3,
    "quant=nf4&dtype=bf16": 3e-2,
    "quant=nf4-single&dtype=bf16": 3e-2,
}
"""Most nats per token from single precision."""
FILE_LIMITS = {
    ("", "F16"): 1e-5,
    ("", "Q8_0"): 1e-3,
    ("", "Q4_K_M"): 5e-3,
    (STACK, "F16"): 1e-5,
    (STACK, "Q8_0"): 1e-3,
    # What four bits cost a stack whose answers are sure: docs/quantization.md says why.
    (STACK, "Q4_K_M"): 2.5e-2,
}
"""The same for files of llama.cpp, by the adapters merged in and the type."""


@pytest.fixture(scope="module")
def texts() -> list[str]:
    tasks = [load_task(name, limit=8) for name in ("tiny-text", "tiny-arithmetic")]
    return [example.messages[0].content for example in texts_of(tasks, [], n_texts=16)]


def test_forms_of_the_tiny_family_stay_near_single_precision(texts):
    specs = [parse_model(f"zoo:tiny?{form}{STACK}") for form in ("dtype=fp32", *LIMITS)]
    found = [
        [one.logprobs for one in runner.distributions(texts, max_tokens=128)]
        for runner in open_runners(specs)
    ]
    reference, *others = found
    for (form, limit), own in zip(LIMITS.items(), others, strict=True):
        parts = [kl_divergences(p, q) for p, q in zip(reference, own, strict=True)]
        assert 0 < np.concatenate(parts).mean() <= limit, form


@pytest.mark.gguf
@pytest.mark.parametrize("stack", ["", STACK])
def test_files_of_llama_cpp_stay_near_single_precision(texts, gguf_file, stack):
    kinds = {kind: limit for (own, kind), limit in FILE_LIMITS.items() if own == stack}
    files = [gguf_file(f"zoo:tiny{stack}", kind) for kind in kinds]
    models = [f"zoo:tiny?dtype=fp32{stack}", *(f"gguf:{file}?n_threads=1" for file in files)]
    reference, *others = [
        [one.logprobs for one in runner.distributions(texts, max_tokens=128)]
        for runner in open_runners([parse_model(model) for model in models])
    ]
    for (kind, limit), own in zip(kinds.items(), others, strict=True):
        parts = [kl_divergences(p, q) for p, q in zip(reference, own, strict=True)]
        assert 0 < np.concatenate(parts).mean() <= limit, kind


def test_distributions_are_those_that_texts_are_scored_by(texts, run_model, collect):
    from evalcore.protocols import RollingRequest

    runner = run_model(f"zoo:tiny?dtype=fp32{STACK}")
    scored = collect(runner.loglikelihood_rolling([RollingRequest(text=text) for text in texts]))
    for found, wanted in zip(runner.distributions(texts, max_tokens=999), scored, strict=True):
        picked = found.logprobs[np.arange(len(found.tokens)), found.tokens]
        assert picked.sum() == pytest.approx(wanted.logprob, abs=1e-3)
        assert np.exp(found.logprobs).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_held_bytes_are_those_of_the_weights_as_they_are_stored(run_model):
    from runners.hf.footprint import held_bytes

    base = run_model("zoo:tiny?dtype=fp32")._base.model
    assert run_model("zoo:tiny?dtype=fp32").weights_bytes == held_bytes(base)
    n_parameters = sum(parameter.numel() for parameter in base.parameters())
    n_linear = 4 * (4 * 256 * 256 + 3 * 256 * 512)  # what is quantised: four layers
    rest = 2 * (n_parameters - n_linear)
    for form, per_weight in (("int8", 1.0), ("torchao-int8", 1.0), ("nf4", 0.5)):
        found = run_model(f"zoo:tiny?quant={form}&dtype=bf16").weights_bytes - rest
        assert 1.0 <= found / (per_weight * n_linear) < 1.06, form


MEMORY = """
import resource, sys
from runners import open_runners, parse_model
from evalcore.protocols import LoglikelihoodRequest
base, *adapters = sys.argv[1:]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def run(strings):
    for runner in open_runners([parse_model(text) for text in strings]):
        request = LoglikelihoodRequest(context="What is 12", continuation=" + 30?")
        list(runner.loglikelihood([request]))
run(["zoo:tiny+lora:zoo:tiny-math"])  # libraries, and what they keep
before = peak()
run([f"hf:{base}", *(f"hf:{base}+lora:{adapter}" for adapter in adapters)])
print(peak() - before)
"""


def other_adapter(first, number: int):
    """Copy an adapter with other values in it."""
    folder = shutil.copytree(first, first.parent / f"a{number}")
    tensors = load_file(folder / "adapter_model.safetensors")
    changed = {name: tensor / (number + 1) for name, tensor in tensors.items()}
    save_file(changed, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.slow
def test_base_and_eight_adapters_take_a_base_and_eight_adapters(tmp_path, new_adapter, llama):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    folder = tmp_path / "base"
    shutil.copytree(llama.folder, folder)
    config = LlamaConfig.from_pretrained(folder)
    config.hidden_size, config.intermediate_size, config.head_dim = 768, 2048, 64
    config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads = 6, 12, 12
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    first = new_adapter(folder, modules=modules, name="a0", r=16, lora_alpha=16)
    adapters = [first, *(other_adapter(first, n) for n in range(1, 8))]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, folder, *adapters],
        capture_output=True,
        text=True,
        check=True,
    )
    files = [folder / "model.safetensors", *(a / "adapter_model.safetensors" for a in adapters)]
    assert int(done.stdout) <= 1.2 * sum(file.stat().st_size for file in files)
