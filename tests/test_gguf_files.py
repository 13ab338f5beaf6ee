"""Files that are no model, or not for this machine: one line, and the process lives."""

import shutil
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from evalcore.errors import ModelError
from evalcore.protocols import LoglikelihoodRequest
from runners import open_runners, parse_model, resolve
from runners.gguf.header import read_header
from runners.gguf.settings import check_gpu_memory

pytestmark = pytest.mark.gguf


def entry(key: str, value: str) -> bytes:
    """Write metadata: the key, the number of strings' type, the value."""
    first, second = (struct.pack("<Q", len(text)) + text.encode() for text in (key, value))
    return first + struct.pack("<I", 8) + second


STRETCHED = entry("general.architecture", "llama") + entry("llama.rope.scaling.type", "su")


def refusal(text: str) -> str:
    with pytest.raises(ModelError) as caught:
        list(open_runners([parse_model(text)]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kept", [10, 100, 3000, 0.5, 0.999])
def test_truncated_file_is_refused(gguf_file, tmp_path: Path, kept: float):
    content = gguf_file(kind="F16").read_bytes()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content[: kept if kept > 1 else int(kept * len(content))])
    assert "GGUF file is truncated: " in refusal(f"gguf:{broken}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04 something else", "not a GGUF file"),
        (b"GGUF" + struct.pack("<I", 99), "GGUF version must be 2 or 3; got 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "it claims too many entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 50), "a string is too long"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + STRETCHED, "longrope; got 'su'"),
    ],
)
def test_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    assert message in refusal(f"gguf:{path}")


def test_any_flipped_byte_of_a_header_is_read_or_refused(gguf_file, tmp_path: Path):
    content = bytearray(gguf_file(kind="Q8_0").read_bytes())
    path = tmp_path / "flipped.gguf"
    for at in range(0, 1200, 37):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        path.write_bytes(changed)
        with suppress(ModelError):
            assert read_header(path).tensors


def test_missing_file_and_folder_are_told_apart(tmp_path: Path):
    assert refusal(f"gguf:{tmp_path}/none.gguf") == f"GGUF file not found: {tmp_path}/none.gguf"
    assert "is a folder, which hf: would run" in refusal(f"gguf:{tmp_path}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("n_ctx=512", "n_ctx must be at most 256, the context that the model was trained with"),
        ("n_ctx=many", "n_ctx must be a whole number of at least 8; got 'many'"),
        ("n_threads=0", "n_threads must be a whole number of at least 1; got '0'"),
        ("n_gpu_layers=3", "n_gpu_layers=3 needs a llama.cpp that was built for a GPU"),
        ("quant=int8", "a model's settings are dtype, template, n_ctx, n_threads, n_gpu_layers"),
        ("dtype=bf16", "dtype must be one of float32, float16; got 'bfloat16'"),
    ],
)
def test_bad_setting_is_refused(gguf_file, query: str, message: str):
    assert message in refusal(f"gguf:{gguf_file()}?{query}")


def test_more_layers_than_a_gpu_holds_are_refused(gguf_file):
    header = read_header(gguf_file())
    check_gpu_memory(header, 99, 2**30)
    with pytest.raises(ModelError, match=r"n_gpu_layers must be at most 3 for the 0.3 GiB"):
        check_gpu_memory(header, 4, int((256 * 2**20 + 6e6) / 0.9))


def test_adapter_for_another_base_is_refused(gguf_file, llama):
    message = refusal(f"gguf:{gguf_file()}+lora:{llama.adapters['first']}")
    assert "adapter was made for another base: blk.0.attn_q.weight is 256 x 256" in message


def test_adapter_with_a_copy_of_the_base_needs_to_be_written_first(llama, new_adapter, gguf_file):
    adapter = new_adapter(llama.folder, modules=["lm_head"], name="head", r=2)
    file = gguf_file(f"hf:{llama.folder}")
    with pytest.raises(ModelError, match=r"holds .*lm_head.base_layer.weight, which can't be comp"):
        resolve(parse_model(f"gguf:{file}+lora:{adapter}"))


def test_adapter_file_of_another_architecture_is_refused(gguf_file, tmp_path: Path):
    from gguf import GGUFWriter

    path = tmp_path / "a.gguf"
    writer = GGUFWriter(str(path), "qwen2")
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "another architecture: qwen2, not llama" in refusal(f"gguf:{gguf_file()}+lora:{path}")
    assert "not a LoRA adapter: the file's type is None" in refusal(
        f"gguf:{gguf_file()}+lora:{gguf_file()}"
    )
    assert "GGUF file holds no model: its type is 'adapter'" in refusal(f"gguf:{path}")


def test_adapter_as_a_file_equals_its_folder(gguf_file, tmp_path: Path, collect):
    from runners.gguf.adapters import write_adapter

    folder = Path(parse_model("zoo:tiny-math").adapters[-1].path)
    file = tmp_path / "math.gguf"
    write_adapter(folder, file, base=read_header(gguf_file()))
    requests = [LoglikelihoodRequest(context="What is 4 + 5?", continuation=" 9")]
    specs = [parse_model(f"gguf:{gguf_file()}+lora:{place}*0.7") for place in (folder, file)]
    results = [collect(one.loglikelihood(requests)) for one in open_runners(specs)]
    assert results[0] == results[1]
    assert specs[1].adapters[0].name == "math"


def test_moved_file_keeps_its_fingerprint(gguf_file, tmp_path: Path):
    moved = shutil.copy(gguf_file(), tmp_path / "elsewhere.gguf")
    one, other = (resolve(parse_model(f"gguf:{path}")) for path in (gguf_file(), moved))
    assert one.fingerprint == other.fingerprint
    assert other.name == "elsewhere"


def test_missing_extra_is_told_with_the_line_that_installs_it(monkeypatch, tmp_path: Path):
    from runners.gguf import library

    find = library.importlib.util.find_spec
    monkeypatch.setattr(
        library.importlib.util,
        "find_spec",
        lambda name: None if name == "llama_cpp" else find(name),
    )
    wanted = "llama-cpp-python is not installed: pip install 'parity-eval[gguf]'"
    assert refusal(f"gguf:{tmp_path}/x.gguf") == f"GGUF files need llama.cpp: {wanted}"
    assert library.why_not() == wanted
