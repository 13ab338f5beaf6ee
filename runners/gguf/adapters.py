"""LoRA adapters for llama.cpp: GGUF files, and folders of peft that are brought into that form."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from evalcore.errors import ModelError
from evalcore.hashing import file_sha256
from evalcore.records import Adapter, ModelSpec
from runners.adapters import adapter_template, matrix_pairs, read_adapter
from runners.gguf.header import GgufHeader, read_header, read_tokens
from runners.gguf.names import ARCHITECTURES, gguf_name, is_rotated, rotated
from runners.places import locate
from runners.stack_checks import added_tokens, check_templates, check_tokens

__all__ = ["ADAPTER_TYPES", "adapter_bytes", "as_gguf", "resolve_adapters", "write_adapter"]

ADAPTER_TYPES: Final = ("F32", "F16")
"""Types that an adapter's matrices are written in."""


def resolve_adapters(spec: ModelSpec, base: GgufHeader) -> tuple[Adapter, ...]:
    """Find a variant's adapters, check them against base and each other, and fill in their hashes.

    Raises
    ------
    ModelError
        If one was made for another base, changes what llama.cpp can't, or comes with tokens or a
        chat template that don't go with the others'.
    """
    adapters = tuple(_resolved(adapter, base) for adapter in spec.adapters)
    folders = [
        (adapter.name, read_adapter(Path(adapter.path)))
        for adapter in adapters
        if not Path(adapter.path).is_file()
    ]
    # A vocabulary is long: it is read for adapters that bring tokens along.
    if any(added_tokens(files.folder) for _, files in folders):
        check_tokens(folders, dict(enumerate(read_tokens(base.path))))
    if spec.chat_template is None:
        check_templates([(one.name, adapter_template(Path(one.path))) for one in adapters])
    return adapters


def _resolved(adapter: Adapter, base: GgufHeader) -> Adapter:
    path = Path(adapter.path).expanduser()
    if path.is_file():
        _check_file(read_header(path), base)
        return replace(adapter, path=str(path.absolute()), sha256=file_sha256(path))
    folder = locate(adapter.path)
    files = read_adapter(folder)
    for module, shape in matrix_pairs(files.tensors).items():
        _check_shape(_name(module, base, files.weight_file), shape, base, files.weight_file)
    if files.copies:
        raise ModelError(
            f"adapter holds {files.copies[0]}, which can't be compared with a GGUF file; write it "
            f"by parity convert lora:FOLDER gguf:FILE --base hf:BASE ({files.weight_file})"
        )
    return replace(adapter, path=str(folder), sha256=files.sha256)


def adapter_bytes(adapter: Adapter) -> int:
    """Return the size of a resolved adapter on disk."""
    path = Path(adapter.path)
    return (path if path.is_file() else read_adapter(path).weight_file).stat().st_size


@contextmanager
def as_gguf(adapter: Adapter, base: GgufHeader) -> Iterator[Path]:
    """Give an adapter's GGUF file: its own, or one that is written for the occasion."""
    if Path(adapter.path).is_file():
        yield Path(adapter.path)
        return
    with tempfile.TemporaryDirectory(prefix="parity-adapter-") as folder:
        path = Path(folder) / "adapter.gguf"
        write_adapter(Path(adapter.path), path, base=base)
        yield path


def write_adapter(folder: Path, path: Path, *, base: GgufHeader, kind: str = "F32") -> None:
    """Write a LoRA folder of peft as a GGUF file.

    Its scaling, which may differ from layer to layer, is multiplied into the matrices B; so the
    file says that no other is to be applied. A chat template goes along.

    Parameters
    ----------
    folder
        Of peft.
    path
        The file.
    base
        Header of the model that it goes on top of.
    kind
        One of :data:`ADAPTER_TYPES`.

    Raises
    ------
    ModelError
        If it changes what llama.cpp can't.
    """
    import torch
    from gguf import GGUFWriter

    from runners.hf.updates import read_update

    writer = GGUFWriter(str(path), base.architecture)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)
    template = adapter_template(folder)
    if template is not None:
        writer.add_string("tokenizer.chat_template", template)
    dtype = torch.float16 if kind == "F16" else torch.float32
    for module, factors in read_update(Adapter(name="", path=str(folder))).items():
        name = _name(module, base, folder)
        up = factors.factor * factors.up.float()
        if is_rotated(name, base.architecture):
            up = rotated(up, _n_heads(name, base))
        writer.add_tensor(f"{name}.weight.lora_a", factors.down.to(dtype).contiguous().numpy())
        writer.add_tensor(f"{name}.weight.lora_b", up.to(dtype).contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check_file(adapter: GgufHeader, base: GgufHeader) -> None:
    kind = adapter.metadata.get("general.type"), adapter.metadata.get("adapter.type")
    if kind != ("adapter", "lora"):
        raise ModelError(f"not a LoRA adapter: the file's type is {kind[0]!r} ({adapter.path})")
    if adapter.architecture != base.architecture:
        raise ModelError(
            f"adapter was made for another architecture: {adapter.architecture}, not "
            f"{base.architecture} ({adapter.path})"
        )
    for name, tensor in adapter.tensors.items():
        module, _, matrix = name.rpartition(".lora_")
        if matrix not in ("a", "b"):
            raise ModelError(f"adapter is broken: it holds {name} ({adapter.path})")
        other = adapter.tensors.get(f"{module}.lora_{'b' if matrix == 'a' else 'a'}")
        if other is None or len(tensor.shape) != 2 or len(other.shape) != 2:
            raise ModelError(f"adapter is broken: {module} lacks a matrix ({adapter.path})")
        if matrix == "a" and tensor.shape[0] != other.shape[1]:
            raise ModelError(f"adapter is broken: ranks of {module} differ ({adapter.path})")
        if matrix == "a":
            shape = other.shape[0], tensor.shape[1]
            _check_shape(module.removesuffix(".weight"), shape, base, adapter.path)


def _check_shape(name: str, shape: tuple[int, ...], base: GgufHeader, where: Path) -> None:
    present = base.tensors.get(f"{name}.weight")
    if present is None:
        raise ModelError(
            f"adapter was made for another base: {base.path} has no {name}.weight ({where})"
        )
    if present.shape != shape:
        by_base, by_adapter = (" x ".join(map(str, one)) for one in (present.shape, shape))
        raise ModelError(
            f"adapter was made for another base: {name}.weight is {by_base} in {base.path}, "
            f"{by_adapter} in the adapter ({where})"
        )


def _name(module: str, base: GgufHeader, where: Path) -> str:
    if base.architecture not in ARCHITECTURES.values():
        raise ModelError(
            f"a LoRA folder can be used on GGUF files of {', '.join(set(ARCHITECTURES.values()))} "
            f"only; {base.path} is of {base.architecture}"
        )
    name = gguf_name(module)
    if name is None or name == "token_embd":
        raise ModelError(f"llama.cpp can't adapt {module} ({where})")
    return name


def _n_heads(name: str, base: GgufHeader) -> int:
    n_heads: Any = base.number("attention.head_count")
    if name.endswith("attn_k"):
        n_heads = base.number("attention.head_count_kv") or n_heads
    return int(n_heads)
