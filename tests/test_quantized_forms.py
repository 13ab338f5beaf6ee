"""Quantised forms of transformers: distance from fp32, what is refused, what they need."""

import json
import shutil

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import LoglikelihoodRequest
from runners import open_runners, parse_model, resolve

FORMS = ["quant=int8", "quant=nf4", "quant=nf4-single", "quant=torchao-int8"]
REQUESTS = [
    LoglikelihoodRequest(context="The quick brown fox", continuation=" jumps over the lazy dog"),
    LoglikelihoodRequest(context="What is 12 + 30?", continuation=" The answer is 42."),
]


def logprobs(runner, collect):
    return [result.logprob for result in collect(runner.loglikelihood(REQUESTS))]


def test_constants_of_nf4_are_quantised_unless_told_otherwise():
    import torch

    from runners.hf.quantization import quantization_config

    double, single = (quantization_config(q, torch.bfloat16) for q in ("nf4", "nf4-single"))
    assert (double.bnb_4bit_use_double_quant, single.bnb_4bit_use_double_quant) == (True, False)
    assert double.bnb_4bit_quant_type == single.bnb_4bit_quant_type == "nf4"


def test_forms_are_variants_of_their_own_names(llama):
    specs = [resolve(parse_model(f"hf:{llama.folder}?{form}")) for form in FORMS]
    assert len({spec.fingerprint for spec in specs}) == len(FORMS)
    assert [spec.name for spec in specs] == [f"llama ({form[6:]})" for form in FORMS]


@pytest.mark.parametrize("form", FORMS)
def test_stack_on_a_form_is_switched_and_the_base_restored(llama, run_model, collect, form):
    base = f"hf:{llama.folder}?{form}&dtype=fp32"
    stack = "".join(f"+lora:{folder}" for folder in llama.adapters.values())
    opened = open_runners([parse_model(text) for text in (base, base + stack, base)])
    before, stacked, after = (logprobs(runner, collect) for runner in opened)
    exact = run_model(f"hf:{llama.folder}{stack}")
    assert before == after
    assert stacked != before
    assert stacked == pytest.approx(logprobs(exact, collect), rel=0.15)


@pytest.fixture
def four_bit(wide_llama):
    """A base whose weights are packed on their first use, and that has not run yet."""
    from runners.hf.loading import load_base

    return load_base(resolve(parse_model(f"hf:{wide_llama}?quant=nf4"))).model


def run(model) -> None:
    import torch

    with torch.inference_mode():
        model(input_ids=torch.tensor([[1, 2, 3]]))


def test_4_bit_base_that_has_run_is_not_saved_or_moved(four_bit, tmp_path):
    import torch

    four_bit.save_pretrained(tmp_path / "before")
    run(four_bit)
    for forbidden in (
        lambda: four_bit.save_pretrained(tmp_path / "after"),
        four_bit.state_dict,
        lambda: four_bit.model.to("cpu"),
        lambda: four_bit.model.layers[0].to(torch.float32),
    ):
        with pytest.raises(ModelError, match="a 4-bit model that has run can't be") as caught:
            forbidden()
        assert "\n" not in str(caught.value)
    run(four_bit)


def test_checkpoint_that_comes_in_4_bits_is_guarded_too(four_bit, wide_llama, tmp_path):
    from runners.hf.loading import load_base

    four_bit.save_pretrained(tmp_path / "saved")
    for path in wide_llama.glob("tokenizer*"):
        shutil.copy(path, tmp_path / "saved")
    loaded = load_base(resolve(parse_model(f"hf:{tmp_path / 'saved'}"))).model
    run(loaded)
    with pytest.raises(ModelError, match="has run can't be saved"):
        loaded.state_dict()


def test_adapter_is_never_merged_into_a_4_bit_layer(llama, run_model):
    runner = run_model(f"hf:{llama.folder}?quant=nf4+lora:{llama.adapters['first']}")
    (_, layer), *_ = runner._base.adapters.stack._layers()
    with pytest.raises(ModelError, match="can't be merged into a 4-bit layer"):
        layer.merge()


@pytest.mark.parametrize(
    ("method", "command"),
    [("gptq", "pip install gptqmodel optimum"), ("awq", "pip install gptqmodel")],
)
def test_quantised_checkpoint_names_what_it_needs(llama, tmp_path, method, command):
    folder = shutil.copytree(llama.folder, tmp_path / "quantised")
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": method, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="not installed here") as caught:
        resolve(parse_model(f"hf:{folder}"))
    assert f"({command})" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_form_without_its_package_names_the_command(llama, monkeypatch):
    from runners import quantizations

    monkeypatch.setattr(quantizations, "_is_there", lambda module: False)
    with pytest.raises(ModelError, match=r"parity-eval\[torchao\]"):
        resolve(parse_model(f"hf:{llama.folder}?quant=torchao-int8"))


def test_unknown_quantisation_is_one_line(parity, tmp_path):
    command = ["eval", "-m", "zoo:tiny?quant=int3", "-t", "tiny-text", "-w", tmp_path]
    code, _, errors = parity(*command)
    assert code == 2
    assert errors == (
        "parity: quant must be one of int8, nf4, nf4-single, torchao-int8; got 'int3'\n"
    )
