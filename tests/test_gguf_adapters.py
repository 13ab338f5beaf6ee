"""Adapters that are written as GGUF files of their own, and those that are refused."""

import json
import shutil
from pathlib import Path

import pytest

from evalcore.protocols import LoglikelihoodRequest
from runners import open_runners, parse_model
from runners.gguf.header import read_header, read_tokens

pytestmark = pytest.mark.gguf

QUESTION = [LoglikelihoodRequest(context="What is 4 + 5?", continuation=" 9")]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """The tiny family's adapter for sums, to be changed."""
    source = parse_model("zoo:tiny-math").adapters[-1].path
    return shutil.copytree(source, tmp_path / "sums")


def refusal(parity, *arguments: object) -> str:
    code, _, errors = parity("convert", *arguments)
    assert (code, errors.count("\n")) == (2, 1)
    return errors


def test_converted_adapter_equals_its_folder(parity, adapter, gguf_file, tmp_path, collect):
    target = tmp_path / "sums.gguf"
    code, out, _ = parity("convert", f"lora:{adapter}", f"gguf:{target}", "--json")
    assert code == 0
    assert (json.loads(out)["type"], json.loads(out)["n_matrices"]) == ("F32", 28)
    specs = [parse_model(f"gguf:{gguf_file()}+lora:{place}*0.7") for place in (adapter, target)]
    results = [collect(one.loglikelihood(QUESTION)) for one in open_runners(specs)]
    assert results[0] == results[1]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sums.gguf"]


def test_base_may_be_a_gguf_file_and_the_type_f16(parity, adapter, gguf_file, tmp_path, collect):
    target = tmp_path / "sums.gguf"
    base = f"gguf:{gguf_file()}"
    code, out, _ = parity("convert", f"lora:{adapter}", f"gguf:{target}?type=f16", "--base", base)
    assert (code, "F16" in out) == (0, True)
    assert {tensor.type for tensor in read_header(target).tensors.values()} == {"F16"}
    specs = [parse_model(f"{base}+lora:{place}") for place in (adapter, target)]
    one, other = [collect(runner.loglikelihood(QUESTION))[0] for runner in open_runners(specs)]
    assert one.logprob == pytest.approx(other.logprob, abs=2e-2)


def test_chat_template_of_an_adapter_goes_along(parity, adapter, gguf_file, tmp_path, collect):
    from evalcore.records import Message

    (adapter / "chat_template.jinja").write_text("Q: {{ messages[0].content }} A:")
    target = tmp_path / "sums.gguf"
    assert parity("convert", f"lora:{adapter}", f"gguf:{target}")[0] == 0
    asked = (Message(role="user", content="What is 4 + 5?"),)
    request = LoglikelihoodRequest(context=asked, continuation=" 9")
    specs = [parse_model(f"gguf:{gguf_file()}+lora:{place}") for place in (adapter, target)]
    results = [collect(one.loglikelihood([request])) for one in open_runners(specs)]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("target", "base", "message"),
    [
        ("a.gguf?type=Q4_K_M", (), "type must be one of F32, F16; got 'Q4_K_M'"),
        ("no/a.gguf", (), "folder of the target not found"),
        ("a.gguf", ("--base", "fake:x"), "takes no adapters"),
        ("a.gguf", ("--base", "zoo:tiny-instruct"), "--base must be a model without adapters"),
        ("a.gguf", ("--base", "hf:{llama}"), "adapter was made for another base"),
        ("a.gguf", ("--base", "hf:{neox}"), "adapter was made for another base"),
    ],
)
def test_wrong_use_is_one_line(parity, adapter, tmp_path, tiny_models, target, base, message):
    folders = {name: model.folder for name, model in tiny_models.items()}
    said = [part.format(**folders) for part in base]
    assert message in refusal(parity, f"lora:{adapter}", f"gguf:{tmp_path}/{target}", *said)
    assert not list(tmp_path.glob("*.gguf"))


def test_base_has_to_be_known(parity, adapter, tmp_path):
    config = json.loads((adapter / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "somebody/something"
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    target = f"gguf:{tmp_path}/a.gguf"
    assert "--base must be given" in refusal(parity, f"lora:{adapter}", target)
    assert "a weight is said where" in refusal(parity, f"lora:{adapter}*0.5", target)
    assert "--base is for an adapter alone" in refusal(parity, "zoo:tiny", target, "--base", "x")


def test_adapters_of_a_file_with_clashing_tokens_are_one_line(parity, gguf_file, tmp_path):
    stack = ""
    for name, text in (("tiny-instruct", "<one>"), ("tiny-math", "<two>")):
        folder = tmp_path / name
        shutil.copytree(parse_model(f"zoo:{name}").adapters[-1].path, folder)
        (folder / "added_tokens.json").write_text(json.dumps({text: 300}))
        stack += f"+lora:{folder}"
    code, _, errors = parity("eval", "-m", f"gguf:{gguf_file()}{stack}", "-t", "tiny-text")
    assert (code, errors.count("\n")) == (2, 1)
    assert "add different tokens under the number 300: '<one>' and '<two>'" in errors
    (tmp_path / "tiny-math" / "added_tokens.json").write_text(json.dumps({"!": 5}))
    code, _, errors = parity("eval", "-m", f"gguf:{gguf_file()}{stack}", "-t", "tiny-text")
    assert "changes the base's token 5" in errors


def test_tokens_of_a_file_are_those_of_its_model(gguf_file, plain):
    _, tokenizer = plain.load(parse_model("zoo:tiny").weights)
    assert read_tokens(gguf_file()) == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
