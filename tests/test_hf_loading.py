import json
import shutil

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest
from evalcore.records import SamplingParams
from runners import open_runners, parse_model

REQUESTS = [
    LoglikelihoodRequest(context="The quick brown fox", continuation=" jumps over the lazy dog"),
    LoglikelihoodRequest(context="What is 12 + 30?", continuation=" The answer is 42."),
]


def refusal(string: str) -> str:
    with pytest.raises(ModelError) as caught:
        next(open_runners([parse_model(string)]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "placement", "bits"),
    [
        ("", "auto", None),
        ("?device=cpu", {"": "cpu"}, None),
        ("?device=cuda:1&quant=int8", {"": "cuda:1"}, 8),
        ("?quant=nf4", "auto", 4),
    ],
)
def test_spec_becomes_arguments_of_transformers(query, placement, bits):
    import torch

    from runners.hf.loading import loading_arguments

    arguments = loading_arguments(parse_model(f"hf:x{query or '?'}&dtype=bf16".replace("?&", "?")))
    assert arguments["device_map"] == placement
    assert arguments["dtype"] is torch.bfloat16
    config = arguments.get("quantization_config")
    assert (config is None) == (bits is None)
    if bits == 4:
        assert config.bnb_4bit_quant_type == "nf4"
        assert config.bnb_4bit_use_double_quant
        assert config.bnb_4bit_compute_dtype is torch.bfloat16
    if bits == 8:
        assert config.load_in_8bit


@pytest.mark.parametrize(
    ("query", "tolerance"), [("dtype=bf16", 0.01), ("quant=int8", 0.01), ("quant=nf4", 0.2)]
)
def test_coarser_numbers_are_near_the_exact_ones(tiny_model, run_model, collect, query, tolerance):
    exact = collect(run_model(f"hf:{tiny_model.folder}").loglikelihood(REQUESTS))
    coarse = collect(run_model(f"hf:{tiny_model.folder}?{query}").loglikelihood(REQUESTS))
    for a, b in zip(exact, coarse, strict=True):
        assert a.logprob == pytest.approx(b.logprob, rel=tolerance)
        assert a.logprob != b.logprob


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_quantised_model_answers_the_same_each_time(llama, run_model, collect, quantization):
    runner = run_model(f"hf:{llama.folder}?quant={quantization}")
    request = GenerateRequest(prompt="The", params=SamplingParams(max_new_tokens=8))
    first = collect(runner.loglikelihood(REQUESTS))
    answers = [collect(runner.generate([request]))[0].text for _ in range(2)]
    assert answers[0] == answers[1]
    assert collect(runner.loglikelihood(REQUESTS)) == first


def test_packed_4_bit_layers_are_near_the_exact_ones(wide_llama, run_model, collect):
    exact = collect(run_model(f"hf:{wide_llama}").loglikelihood(REQUESTS))
    runner = run_model(f"hf:{wide_llama}?quant=nf4")
    packed = collect(runner.loglikelihood(REQUESTS))
    assert packed == collect(runner.loglikelihood(REQUESTS))
    for a, b in zip(exact, packed, strict=True):
        assert a.logprob == pytest.approx(b.logprob, rel=0.2)


def test_device_that_is_not_here_is_refused(llama):
    import torch

    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    message = refusal(f"hf:{llama.folder}?device=cuda:0")
    assert message == "device=cuda:0 needs CUDA, which is not here; device=cpu works"


def test_quantisation_that_fails_here_says_what_works(llama, monkeypatch):
    from runners.hf import loading

    monkeypatch.setattr(loading, "why_not", lambda quantization, device: "no such kernel")
    message = refusal(f"hf:{llama.folder}?quant=nf4")
    assert message == "quant=nf4 can't be run on cpu here (no such kernel); dtype=bf16 works"


def change_config(folder, to, **fields):
    path = shutil.copytree(folder, to) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return to


def test_unknown_architecture_is_one_line(llama, tmp_path):
    folder = change_config(llama.folder, tmp_path / "m", model_type="elephant")
    assert "elephant" in refusal(f"hf:{folder}")


def test_weights_that_lack_a_layer_are_refused(llama, tmp_path):
    folder = change_config(llama.folder, tmp_path / "m", num_hidden_layers=3)
    message = refusal(f"hf:{folder}")
    assert "weights do not fit config.json: model.layers.2." in message


def test_weights_of_another_shape_are_refused(llama, tmp_path):
    folder = change_config(llama.folder, tmp_path / "m", intermediate_size=48)
    message = refusal(f"hf:{folder}")
    assert "mlp.down_proj.weight is 32 x 64 in the file, 32 x 48 by config.json" in message


def test_loading_leaves_the_notes_of_transformers_as_they_were(llama, run_model):
    import transformers

    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    run_model(f"hf:{llama.folder}?dtype=fp16")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


@pytest.mark.gpu
@pytest.mark.parametrize("query", ["dtype=fp32", "dtype=bf16", "quant=int8", "quant=nf4"])
def test_cuda_gives_what_the_processor_gives(tiny_model, run_model, collect, query):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
    adapter = f"+lora:{tiny_model.adapters['first']}"
    here, there = (
        collect(
            run_model(f"hf:{tiny_model.folder}?{query}&device={device}{adapter}").loglikelihood(
                REQUESTS
            )
        )
        for device in ("cpu", "cuda:0")
    )
    for a, b in zip(here, there, strict=True):
        assert a.logprob == pytest.approx(b.logprob, rel=1e-4 if "fp32" in query else 0.05)
