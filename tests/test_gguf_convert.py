"""Models that are written as GGUF, and those that are refused."""

import json
import shutil
from pathlib import Path

import pytest

from evalcore.errors import InputError, ModelError
from evalcore.protocols import LoglikelihoodRequest
from runners import parse_model
from runners.gguf import convert as conversion
from runners.gguf.convert import convert, split_target
from runners.gguf.header import read_header

pytestmark = pytest.mark.gguf

PAIRS = [("What is 12 + 30?", " The answer is 42."), ("Name three", " colours: red"), ("", "Good")]
REQUESTS = [LoglikelihoodRequest(context=a, continuation=b) for a, b in PAIRS]
CORPUS = [text for pair in PAIRS for text in pair] * 20


def save(folder: Path, tokenizer, config) -> Path:
    """Write a random model with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    return folder


def shape(**more: object) -> dict[str, object]:
    return {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "tie_word_embeddings": False,
    } | more


def byte_level(regex: str):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece_like():
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    marks = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=marks, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def logprobs(run_model, text: str, collect) -> list[float]:
    return [one.logprob for one in collect(run_model(text).loglikelihood(REQUESTS))]


def stretched(rope_type: str, **more: float) -> dict[str, object]:
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": 1e4, "factor": 3.0} | more}


LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}
YARN = {"original_max_position_embeddings": 16, "attention_factor": 0.9}
SHAPES = {
    "llama": {"head_dim": 32},
    "llama-biases": {"attention_bias": True, "mlp_bias": True},
    "llama-linear": stretched("linear"),
    "llama-llama3": stretched("llama3", **LLAMA3),
    "llama-yarn": stretched("yarn", **YARN),
    "mistral": {"sliding_window": 64},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2-yarn": stretched("yarn", **YARN),
    "qwen3": {"head_dim": 32},
}


@pytest.mark.parametrize("kind", [*SHAPES, "sentencepiece"])
def test_converted_model_equals_transformers(tmp_path_factory, run_model, collect, kind: str):
    from transformers import AutoConfig

    from runners.gguf.vocabulary import _LLAMA3, _QWEN2

    family = "llama" if kind == "sentencepiece" else kind.partition("-")[0]
    config = AutoConfig.for_model(family, **shape(**SHAPES.get(kind, {})))
    regex = _QWEN2 if family.startswith("qwen") else _LLAMA3
    tokenizer = sentencepiece_like() if kind == "sentencepiece" else byte_level(regex)
    folder = save(tmp_path_factory.mktemp("converted") / kind, tokenizer, config)
    file = convert(parse_model(f"hf:{folder}"), folder / "m.gguf", "F32").path
    wanted = logprobs(run_model, f"hf:{folder}?dtype=fp32", collect)
    got = logprobs(run_model, f"gguf:{file}?n_threads=1", collect)
    assert got == pytest.approx(wanted, abs=2e-3)


def test_adapters_are_merged_before_anything_is_rounded(gguf_file, run_model, collect):
    stack = "zoo:tiny-instruct+lora:zoo:tiny-math*0.5"
    file = gguf_file(stack)
    wanted = logprobs(run_model, stack.replace("instruct", "instruct?dtype=fp32"), collect)
    assert logprobs(run_model, f"gguf:{file}", collect) == pytest.approx(wanted, abs=2e-3)


def test_adapter_of_embeddings_is_merged(llama, new_adapter, tmp_path, run_model, collect):
    adapter = new_adapter(llama.folder, modules=["embed_tokens", "lm_head"], name="ends", r=2)
    stack = f"{llama.folder}+lora:{adapter}*0.5"
    file = convert(parse_model(f"hf:{stack}"), tmp_path / "m.gguf", "F32").path
    wanted = logprobs(run_model, f"hf:{stack.replace('+', '?dtype=fp32+', 1)}", collect)
    got = logprobs(run_model, f"gguf:{file}?n_threads=1", collect)
    assert got == pytest.approx(wanted, abs=2e-3)
    assert got != pytest.approx(logprobs(run_model, f"hf:{llama.folder}", collect), abs=2e-2)


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q8_0"])
def test_rows_that_a_type_can_not_hold_are_counted(tmp_path_factory, run_model, collect, kind: str):
    from transformers import LlamaConfig

    from runners.gguf.vocabulary import _LLAMA3

    config = LlamaConfig(**shape(hidden_size=40, intermediate_size=90))
    folder = save(tmp_path_factory.mktemp("odd") / "odd", byte_level(_LLAMA3), config)
    done = convert(parse_model(f"hf:{folder}"), folder / "m.gguf", kind)
    tensors = read_header(Path(done.path)).tensors.values()
    assert {tensor.type for tensor in tensors if len(tensor.shape) > 1} == {"F16"}
    assert done.n_fallback == sum(len(tensor.shape) > 1 for tensor in tensors)
    assert all(value < 0 for value in logprobs(run_model, f"gguf:{done.path}", collect))


def test_nothing_is_left_of_a_conversion_that_fails(llama, tmp_path: Path, monkeypatch):
    target = tmp_path / "m.gguf"
    target.write_text("what was there")

    def refuse(*_: object) -> int:
        raise ModelError("other tokens")

    monkeypatch.setattr(conversion, "_check_written", refuse)
    with pytest.raises(ModelError, match="other tokens"):
        convert(parse_model(f"hf:{llama.folder}"), target, "Q8_0")
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]
    assert target.read_text() == "what was there"


def test_what_a_killed_conversion_left_is_removed_and_a_live_ones_stays(tmp_path: Path):
    killed = tmp_path / ".m.gguf-killed"
    killed.mkdir()
    (killed / "whole.gguf").write_text("half")
    with conversion.beside(tmp_path / "m.gguf") as live:
        assert not killed.exists()
        with conversion.beside(tmp_path / "m.gguf") as second:
            assert live.is_dir()
            assert second != live
    assert list(tmp_path.iterdir()) == []


def test_other_architecture_is_refused(tiny_models, tmp_path: Path):
    with pytest.raises(
        ModelError, match=r"model_type must be one of llama, mistral, qwen2, .*neox"
    ):
        convert(parse_model(f"hf:{tiny_models['neox'].folder}"), tmp_path / "m.gguf", "F16")


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        (
            "config.json",
            {"rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": 16.0}},
            "beta_fast must be 32.0",
        ),
        ("config.json", {"model_type": "qwen3", "attention_bias": True}, "this attention_bias"),
        ("config.json", {"hidden_act": "gelu"}, "with this hidden_act can't be written"),
        ("config.json", {"num_attention_heads": 0}, "model can't be loaded: .*zero"),
        ("config.json", {"num_attention_heads": "six"}, "model can't be loaded: .*num_attention"),
        ("config.json", {"num_hidden_layers": 3}, "can't load what was written: .*blk.2"),
        ("config.json", {"num_hidden_layers": 1}, "can't load what was written: .*tensors"),
        ("tokenizer.json", {"added_tokens": 1}, "added tokens of the tokenizer can't"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "it changes text before"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, r"\(Whitespace\) is none of"),
    ],
)
def test_what_llama_cpp_does_otherwise_is_refused(llama, tmp_path, file, change, message):
    folder = shutil.copytree(llama.folder, tmp_path / "model")
    content = json.loads((folder / file).read_text())
    if "rope_scaling" in change:
        content.pop("rope_parameters", None)
    (folder / file).write_text(json.dumps(content | change))
    with pytest.raises(ModelError, match=message):
        convert(parse_model(f"hf:{folder}"), tmp_path / "m.gguf", "F16")
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("m.gguf", "a target must be gguf:FILE"),
        ("gguf:m?kind=F16", "a target's setting is type; got 'kind=F16'"),
        ("gguf:m?type=Q4", "type must be one of F32, F16, .*; got 'Q4'"),
    ],
)
def test_bad_target_is_refused(target: str, message: str):
    with pytest.raises(InputError, match=message):
        split_target(target)


def test_command_says_what_it_wrote(parity, tmp_path: Path):
    code, out, _ = parity("convert", "zoo:tiny", f"gguf:{tmp_path}/t.gguf?type=q8_0", "--json")
    assert code == 0
    assert json.loads(out)["type"] == "Q8_0"
    code, _, err = parity("convert", "zoo:tiny", f"gguf:{tmp_path}/no/t.gguf")
    assert (code, err.count("\n")) == (2, 1)
    assert "folder of the target not found" in err
