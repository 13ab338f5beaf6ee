"""Adapters that are merged before anything is rounded, against peft's own merge."""

import json
import shutil
from dataclasses import replace

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest
from evalcore.records import SamplingParams
from runners import open_runners, parse_model, resolve

PAIRS = [("What is 12 + 30?", " The answer is 42."), ("", "Good morning")]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]


def model(base, query: str) -> str:
    stack = f"+lora:{base.adapters['first']}*0.5+lora:{base.adapters['second']}"
    return f"hf:{base.folder}?{query}{stack}"


def logprobs(runner, collect) -> list[float]:
    return [one.logprob for one in collect(runner.loglikelihood(REQUESTS))]


@pytest.fixture(scope="module")
def merged_by_peft(llama, plain, tmp_path_factory):
    """The same stack as a checkpoint of its own."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    base, tokenizer = plain.load(llama.folder)
    adapted = PeftModel.from_pretrained(base, llama.adapters["first"], adapter_name="a")
    adapted.load_adapter(llama.adapters["second"], adapter_name="b")
    for _, layer in adapted.named_modules():
        if isinstance(layer, LoraLayer) and "a" in layer.scaling:
            layer.scaling["a"] *= 0.5
    folder = tmp_path_factory.mktemp("merged") / "merged"
    adapted.base_model.merge_and_unload(adapter_names=["a", "b"]).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_merged_in_single_precision_is_the_stack(tiny_model, run_model, collect):
    merged = logprobs(run_model(model(tiny_model, "combine=merge&dtype=fp32")), collect)
    stacked = logprobs(run_model(model(tiny_model, "dtype=fp32")), collect)
    assert merged == pytest.approx(stacked, abs=2e-4)


@pytest.mark.parametrize("form", ["quant=nf4", "quant=int8", "dtype=bf16"])
def test_form_is_that_of_the_merged_weights(llama, merged_by_peft, run_model, collect, form):
    found = logprobs(run_model(model(llama, f"combine=merge&{form}")), collect)
    assert found == pytest.approx(
        logprobs(run_model(f"hf:{merged_by_peft}?{form}"), collect), abs=1e-3
    )
    beside = logprobs(run_model(model(llama, form)), collect)
    assert max(abs(a - b) for a, b in zip(found, beside, strict=True)) > 5e-3


def test_base_stack_and_merged_stack_are_three_variants(llama, collect):
    texts = [f"hf:{llama.folder}", model(llama, "combine=merge"), model(llama, "dtype=fp32")]
    specs = [resolve(parse_model(text)) for text in texts]
    assert len({spec.fingerprint for spec in specs}) == 3
    assert specs[1].name.endswith("(merge)")
    base, merged, stacked = [logprobs(one, collect) for one in open_runners(specs)]
    assert merged == pytest.approx(stacked, abs=2e-4)
    assert base != pytest.approx(merged, abs=1e-2)


def test_merged_model_ends_its_answers_as_its_base_does(llama, tmp_path, run_model, collect):
    base = replace(llama, folder=shutil.copytree(llama.folder, tmp_path / "base"))
    (base.folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 40]}))
    request = GenerateRequest(prompt="What", params=SamplingParams(max_new_tokens=24))
    texts = [model(base, query) for query in ("combine=merge", "dtype=fp32")]
    one, other = [collect(run_model(text).generate([request]))[0] for text in texts]
    assert (one.text, one.finish_reason) == (other.text, other.finish_reason)


def test_weight_that_modules_share_is_not_merged_into(llama, plain):
    from runners.hf.switching import AdapterSwitch

    base, _ = plain.load(llama.folder)
    first, second = (layer.self_attn for layer in base.model.layers)
    second.v_proj.weight = first.v_proj.weight
    switch = AdapterSwitch(base)
    switch.activate(resolve(parse_model(model(llama, "combine=merge"))).adapters)
    with pytest.raises(ModelError, match=r"v_proj shares its weight with another module"):
        switch.merge()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hf:{folder}?combine=merge", "combine=merge needs adapters"),
        ("hf:{folder}?combine=merge&rank=2+lora:x", "combine=merge takes no rank"),
        ("vllm:{folder}?combine=merge+lora:x", "combine=merge is for hf:"),
    ],
)
def test_merge_that_makes_no_sense_is_refused(llama, text: str, message: str):
    with pytest.raises(ModelError, match=message):
        resolve(parse_model(text.format(folder=llama.folder)))
