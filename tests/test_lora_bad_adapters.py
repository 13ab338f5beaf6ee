import json
import shutil
from pathlib import Path

import pytest

from evalcore.errors import ModelError
from runners import open_runners, parse_model, resolve


@pytest.fixture
def adapter(llama, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return shutil.copytree(llama.adapters["first"], tmp_path / "adapter")


def refusal(model, adapter: Path) -> str:
    with pytest.raises(ModelError) as caught:
        resolve(parse_model(f"hf:{model.folder}+lora:{adapter}"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_config(adapter: Path, **fields: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(adapter: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)


def test_adapter_for_another_base_names_the_layer_and_both_shapes(llama, adapter):
    change_tensors(
        adapter, lambda ts: {name: t.repeat(1, 2) if "A" in name else t for name, t in ts.items()}
    )
    message = refusal(llama, adapter)
    assert "model.layers.0.self_attn.q_proj is 32 x 32" in message
    assert "32 x 64 in the adapter" in message


def test_adapter_for_another_architecture_names_what_is_missing(tiny_models):
    message = refusal(tiny_models["gpt2"], tiny_models["llama"].adapters["first"])
    assert "has no model.layers.0.self_attn.q_proj" in message
    assert "and 1 more" in message


def test_adapter_without_weights_or_configuration_is_refused(llama, adapter):
    (adapter / "adapter_model.safetensors").unlink()
    assert "no weights (adapter_model.safetensors or adapter_model.bin)" in refusal(llama, adapter)
    (adapter / "adapter_config.json").unlink()
    assert "no adapter_config.json in adapter folder" in refusal(llama, adapter)


def test_truncated_adapter_is_refused(llama, adapter):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert "truncated or broken" in refusal(llama, adapter)


def test_adapter_with_half_a_pair_is_refused(llama, adapter):
    change_tensors(adapter, lambda ts: dict(list(sorted(ts.items()))[1:]))
    assert "has only one of lora_A and lora_B" in refusal(llama, adapter)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"peft_type": "LOHA"}, "peft_type must be one of LORA, ADAPTION_PROMPT"),
        ({"use_dora": True}, "DoRA rescales the base's weights (use_dora in"),
        ({"lora_bias": True}, "it adds a bias"),
        ({"bias": "all"}, "it changes the base's biases (bias='all' in"),
        ({"modules_to_save": ["lm_head"]}, "it replaces whole modules"),
        ({"trainable_token_indices": [1]}, "it replaces token embeddings"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' changed its base's weights"),
    ],
)
def test_adapter_that_is_more_than_matrices_is_refused_with_the_reason(
    llama, adapter, fields, reason
):
    change_config(adapter, **fields)
    assert reason in refusal(llama, adapter)


def test_adapter_with_resized_embeddings_is_refused(llama, adapter):
    import torch

    name = "base_model.model.model.embed_tokens.weight"
    change_tensors(adapter, lambda ts: ts | {name: torch.zeros(386, 32)})
    assert f"besides low-rank matrices it holds {name}" in refusal(llama, adapter)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"r": None}, "adapter's r must be a whole number of at least 1; got None"),
        ({"rank_pattern": {"q_proj": 0}}, "adapter's r must be a whole number of at least 1"),
        ({"lora_alpha": "8"}, "adapter's lora_alpha must be a number; got '8'"),
        ({"target_modules": 7}, "adapter's target_modules must be names or a pattern; got 7"),
        ({"alpha_pattern": [2]}, "adapter's alpha_pattern must name modules"),
    ],
)
def test_adapter_with_a_broken_rank_or_scaling_is_refused(llama, adapter, fields, message):
    change_config(adapter, **fields)
    assert message in refusal(llama, adapter)


def test_copy_of_the_embeddings_has_to_be_that_of_the_base(llama, new_adapter, tmp_path):
    made = new_adapter(llama.folder, modules=["embed_tokens"], name="copies", r=2)
    adapter = shutil.copytree(made, tmp_path / "copies")
    name = "base_model.model.model.embed_tokens.base_layer.weight"
    resolve(parse_model(f"hf:{llama.folder}+lora:{adapter}"))
    change_tensors(adapter, lambda ts: ts | {name: ts[name] + 1})
    said = refusal(llama, adapter)
    assert "its copy of embed_tokens.weight is not that of" in said


def test_same_adapter_under_two_names_is_refused(llama, adapter):
    with pytest.raises(ModelError, match="'adapter' is in the stack twice; give it one weight"):
        resolve(parse_model(f"hf:{llama.folder}+lora:{llama.adapters['first']}+lora:{adapter}*0.5"))


def test_pickled_adapter_that_does_not_fit_is_found_on_loading(llama, adapter):
    import torch
    from safetensors.torch import load_file

    path = adapter / "adapter_model.safetensors"
    tensors = {name: t.repeat(1, 2) for name, t in load_file(path).items()}
    path.unlink()
    torch.save(tensors, adapter / "adapter_model.bin")
    spec = parse_model(f"hf:{llama.folder}+lora:{adapter}")
    with pytest.raises(ModelError, match=r"'adapter' does not fit the base: .*q_proj") as caught:
        next(open_runners([spec]))
    assert "\n" not in str(caught.value)


def test_adapter_with_modules_beyond_its_configuration_is_found_on_loading(llama, adapter):
    change_config(adapter, target_modules=["q_proj"])
    with pytest.raises(ModelError, match=r"v_proj.* is in only one of them"):
        next(open_runners([parse_model(f"hf:{llama.folder}+lora:{adapter}")]))


def test_bad_adapter_is_found_before_any_model_is_loaded(llama, adapter, monkeypatch):
    from runners.hf import resident

    monkeypatch.setattr(resident, "load_base", lambda spec: pytest.fail("loaded"))
    (adapter / "adapter_model.safetensors").unlink()
    specs = [parse_model(f"hf:{llama.folder}{tail}") for tail in ("", f"+lora:{adapter}")]
    with pytest.raises(ModelError, match="no weights"):
        open_runners(specs)
