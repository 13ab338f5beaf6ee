"""What adapters bring along: their base, tokens and chat templates."""

import json
import shutil
from pathlib import Path

import pytest

from evalcore.errors import ModelError
from runners import parse_model, resolve


@pytest.fixture
def adapters(llama, tmp_path) -> list[Path]:
    """Two adapters with the base's tokenizer, which may be changed."""
    folders = []
    for name, source in llama.adapters.items():
        folder = shutil.copytree(source, tmp_path / name)
        for path in llama.folder.glob("tokenizer*"):
            shutil.copy(path, folder)
        folders.append(folder)
    return folders


def stack(llama, *adapters, query: str = ""):
    text = f"hf:{llama.folder}{query}" + "".join(f"+lora:{folder}" for folder in adapters)
    return resolve(parse_model(text))


def refusal(llama, *adapters) -> str:
    with pytest.raises(ModelError) as caught:
        stack(llama, *adapters)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(path: Path, edit) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def add_token(folder: Path, text: str, number: int = 384) -> None:
    token = {"id": number, "content": text, "special": True}
    token |= dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    change(folder / "tokenizer.json", lambda content: content["added_tokens"].append(token))


def test_adapters_with_the_tokenizer_of_their_base_stack(llama, adapters):
    assert len(stack(llama, *adapters).adapters) == 2


def test_two_adapters_with_clashing_tokens_are_one_line(parity, llama, adapters, tmp_path):
    for folder, text in zip(adapters, ("<one>", "<two>"), strict=True):
        add_token(folder, text)
    model = f"hf:{llama.folder}" + "".join(f"+lora:{folder}" for folder in adapters)
    code, _, errors = parity("eval", "-m", model, "-t", "tiny-text", "-w", tmp_path / "out")
    assert code == 2
    assert errors == (
        "parity: adapters 'first' and 'second' add different tokens under the number 384: "
        "'<one>' and '<two>'\n"
    )


def test_padding_token_that_never_occurs_does_no_harm(llama, adapters):
    for folder in adapters:
        add_token(folder, "[PAD]")
    stack(llama, *adapters)


def test_token_of_the_chat_template_that_the_base_lacks_is_refused(llama, adapters):
    add_token(adapters[0], "<|turn|>")
    (adapters[0] / "chat_template.jinja").write_text("<|turn|>{{ messages[0].content }}")
    assert "needs the token '<|turn|>' (number 384)" in refusal(llama, adapters[0])


def test_changed_token_or_vocabulary_of_the_base_is_refused(llama, adapters):
    def rename(content):
        content["added_tokens"][1]["content"] = "<end>"

    change(adapters[0] / "tokenizer.json", rename)
    assert "changes the base's token 1 from '</s>' to '<end>'" in refusal(llama, adapters[0])
    change(adapters[1] / "tokenizer.json", lambda content: content["model"]["merges"].pop())
    assert "another tokenizer than its base: merges differs" in refusal(llama, adapters[1])


def test_two_chat_templates_need_a_choice(llama, adapters):
    for folder in adapters:
        (folder / "chat_template.jinja").write_text(f"{folder.name}: {{{{ messages[0].content }}}}")
    assert "bring different chat templates; choose one with ?template=" in refusal(llama, *adapters)
    assert stack(llama, *adapters, query="?template=alpaca").chat_template == "alpaca"
    shutil.copy(adapters[0] / "chat_template.jinja", adapters[1])
    stack(llama, *adapters)


def test_adapter_that_names_a_base_with_other_weights_is_refused(llama, adapters, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    other = shutil.copytree(llama.folder, tmp_path / "other")
    named = {"base_model_name_or_path": str(other)}
    change(adapters[0] / "adapter_config.json", lambda content: content.update(named))
    stack(llama, adapters[0])  # a copy is the same base
    tensors = load_file(other / "model.safetensors")
    tensors["lm_head.weight"] = torch.zeros_like(tensors["lm_head.weight"])
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    message = refusal(llama, adapters[0])
    assert f"adapter 'first' was made for another base: {other}, whose weights are not" in message
