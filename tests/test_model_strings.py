import json
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalcore.errors import InputError, ModelError
from runners import RunnerOptions, parse_model, resolve
from runners.modelstring import default_name
from runners.resolving import window


def test_string_with_everything_is_read_in_full():
    spec = parse_model(
        "mine=hf:org/model@v1.0?dtype=bf16&quant=nf4&template=alpaca&device=cuda:1"
        "+lora:adapters/a*0.5+lora:org/b"
    )
    assert (spec.name, spec.backend, spec.weights) == ("mine", "hf", "org/model")
    assert (spec.revision, spec.dtype, spec.quantization) == ("v1.0", "bfloat16", "nf4")
    assert (spec.chat_template, spec.device) == ("alpaca", "cuda:1")
    assert [(a.name, a.path, a.weight) for a in spec.adapters] == [
        ("a", "adapters/a", 0.5),
        ("b", "org/b", 1.0),
    ]


def test_base_alone_has_no_settings():
    spec = parse_model("hf:org/model")
    assert spec.name == "model"
    assert (spec.revision, spec.dtype, spec.quantization, spec.adapters) == (None, None, None, ())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("zoo:tiny", "tiny"),
        ("zoo:tiny-instruct", "tiny+instruct"),
        ("zoo:tiny?quant=nf4+lora:zoo:tiny-instruct*0.5", "tiny+instruct*0.5 (nf4)"),
        ("hf:a/b/?dtype=fp16", "b (fp16)"),
        ("hf:x/y@main+lora:z*-2", "y+z*-2 (main)"),
        ("a=b=hf:x", None),
    ],
)
def test_name_says_what_a_variant_is_made_of(text: str, name: str | None):
    if name is None:
        with pytest.raises(ModelError, match="one of hf:, zoo:, gguf:, vllm:, openai:, fake:"):
            parse_model(text)
    else:
        assert parse_model(text).name == name


def test_path_with_an_equals_sign_is_not_taken_for_a_name():
    assert parse_model("hf:runs/lr=1/model").weights == "runs/lr=1/model"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model", "one of hf:, zoo:, gguf:, vllm:, openai:, fake:; got 'model'"),
        ("=hf:x", "name before '=' is empty"),
        ("hf:", "nothing follows the backend's name"),
        ("zoo:huge", "zoo model must be one of tiny, "),
        ("zoo:tiny+lora:zoo:tiny", "zoo:tiny is no adapter; adapters are tiny-instruct"),
        ("hf:x?precision=8", "settings are dtype, quant, template, device, .*; got 'precision'"),
        ("hf:x?dtype=int4", "dtype must be one of float32, .*; got 'int4'"),
        ("hf:x?quant=q4_0", "quant must be one of int8, nf4, .*; got 'q4_0'"),
        ("hf:x?template=mine", "template must be one of alpaca, .*; got 'mine'"),
        ("hf:x?device=tpu", "device must be auto, cpu, .*; got 'tpu'"),
        ("hf:x?dtype=bf16&dtype=fp32", "'dtype' is said twice"),
        ("hf:x@", "revision after '@' is empty"),
        ("hf:x+lora:", r"nothing follows \+lora:"),
        ("hf:x+lora:a*heavy", "weight after '\\*' must be a number; got 'heavy'"),
        ("hf:x+lora:a*nan", "must be a finite number; got nan"),
        ("hf:x+lora:a?dtype=bf16", "settings .* come before the first"),
        ("hf:x+lora:a+lora:./a*2", "'a' is in the stack twice; give it one weight"),
        ("fake:x?dtype=bf16", "a fake model takes no settings"),
        ("fake:x+lora:a", "a fake model takes no adapters"),
    ],
)
def test_bad_string_is_refused_in_one_line(text: str, message: str):
    with pytest.raises(ModelError, match=message) as caught:
        parse_model(text)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str):
    for string in (text, f"hf:{text}", f"hf:x?{text}", f"hf:x+lora:{text}"):
        with suppress(ModelError):
            assert parse_model(string).name


def test_resolved_spec_names_exact_bytes(llama):
    spec = resolve(parse_model(f"hf:{llama.folder}+lora:{llama.adapters['first']}"))
    assert spec.weights == str(llama.folder)
    assert spec.dtype == "float32"
    assert spec.sha256
    assert spec.adapters[0].sha256
    assert resolve(spec) == spec


def test_moved_model_keeps_its_fingerprint_and_a_changed_one_does_not(llama, tmp_path: Path):
    moved = shutil.copytree(llama.folder, tmp_path / "elsewhere")
    original = resolve(parse_model(f"hf:{llama.folder}"))
    assert resolve(parse_model(f"hf:{moved}")).fingerprint == original.fingerprint
    config = moved / "tokenizer_config.json"
    config.write_text(config.read_text() + " ")
    assert resolve(parse_model(f"hf:{moved}")).fingerprint != original.fingerprint


def test_dtype_follows_the_request_then_the_quantisation_then_the_checkpoint(llama):
    dtypes = [
        resolve(parse_model(f"hf:{llama.folder}{query}")).dtype
        for query in ("", "?dtype=fp16", "?quant=nf4", "?quant=nf4&dtype=fp32")
    ]
    assert dtypes == ["float32", "float16", "bfloat16", "float32"]


def test_dtype_of_a_config_without_one_is_that_of_the_tensors(llama, tmp_path: Path):
    folder = shutil.copytree(llama.folder, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps(config))
    assert resolve(parse_model(f"hf:{folder}")).dtype == "float32"


def test_window_is_read_from_each_kind_of_configuration(tiny_model):
    assert window(resolve(parse_model(f"hf:{tiny_model.folder}"))) == 96


def test_window_of_a_model_that_is_not_here_is_unknown():
    assert window(resolve(parse_model("openai:m@http://127.0.0.1:1/v1"))) is None


def test_folder_with_an_at_sign_is_found(llama, tmp_path: Path):
    folder = shutil.copytree(llama.folder, tmp_path / "model@v2")
    spec = resolve(parse_model(f"hf:{folder}"))
    assert (spec.weights, spec.revision) == (str(folder), None)


def _remove(name: str):
    return lambda folder: (folder / name).unlink()


def _write(name: str, content: bytes):
    return lambda folder: (folder / name).write_bytes(content)


def _truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("config.json"), "no config.json in model folder"),
        (_remove("tokenizer.json"), "no tokenizer .* in model folder"),
        (_remove("model.safetensors"), "no weights .* in model folder"),
        (_truncate, "truncated or broken: .* bytes instead of"),
        (_write("model.safetensors", b"PK"), "truncated or broken"),
        (_write("model.safetensors", struct.pack("<Q", 4) + b"{}}}"), "header can't be read"),
        (_write("config.json", b"{'a'"), "config.json is not valid JSON"),
        (_write("config.json", b"\xff\xfe"), "config.json is not valid JSON"),
        (_write("config.json", b"[]"), "config.json must hold a JSON object"),
        (_write("config.json", b"{}"), "config.json has no model_type"),
    ],
)
def test_damaged_folder_is_refused_by_name(llama, tmp_path: Path, damage, message: str):
    folder = shutil.copytree(llama.folder, tmp_path / "m")
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(parse_model(f"hf:{folder}"))
    assert str(folder) in str(caught.value)


def test_missing_shard_and_broken_pickle_are_refused(llama, tmp_path: Path):
    folder = shutil.copytree(llama.folder, tmp_path / "m")
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(ModelError, match=r"weight file one.safetensors of .* is missing"):
        resolve(parse_model(f"hf:{folder}"))
    index.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ModelError, match=r"truncated or broken: .*pytorch_model.bin"):
        resolve(parse_model(f"hf:{folder}"))


@pytest.mark.parametrize("place", ["/no/such/folder", "./none", "../none", "~/none-such"])
def test_missing_folder_is_not_looked_up_on_the_hub(place: str):
    with pytest.raises(ModelError, match="model folder not found"):
        resolve(parse_model(f"hf:{place}"))


def test_file_and_revision_of_a_folder_are_refused(llama):
    with pytest.raises(ModelError, match=r"must be a folder; .* is a file"):
        resolve(parse_model(f"hf:{llama.folder / 'config.json'}"))
    with pytest.raises(ModelError, match="a revision is for hub ids"):
        resolve(parse_model(f"hf:{llama.folder}@main"))


def test_hub_id_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="neither a folder nor to be had from") as caught:
        resolve(parse_model("hf:nobody/nothing"))
    assert "\n" not in str(caught.value)


def test_hub_id_in_the_cache_is_pinned_to_its_commit(llama, monkeypatch, tmp_path: Path):
    import huggingface_hub.constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--org--model"
    shutil.copytree(llama.folder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    spec = resolve(parse_model("hf:org/model"))
    assert (spec.name, spec.weights, spec.revision) == ("model", "org/model", commit)
    assert spec.sha256 == resolve(parse_model(f"hf:{llama.folder}")).sha256
    assert resolve(spec) == spec


def test_quantised_checkpoint_is_not_quantised_again(llama, tmp_path: Path):
    folder = shutil.copytree(llama.folder, tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {}}))
    with pytest.raises(ModelError, match=r"quantised already .*; leave quant out"):
        resolve(parse_model(f"hf:{folder}?quant=int8"))


def test_default_name_is_filled_in_by_resolve(llama):
    spec = replace(parse_model(f"hf:{llama.folder}"), name="")
    assert resolve(spec).name == default_name(spec) == "llama"


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"batch_tokens": -1}])
def test_batch_sizes_under_one_are_refused(sizes: dict[str, int]):
    with pytest.raises(InputError, match=r"must be at least 1; got"):
        RunnerOptions(**sizes)


def test_importing_runners_is_light():
    code = (
        "import sys, runners, runners.fake, runners.cli;"
        "print({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
