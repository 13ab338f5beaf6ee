"""LoRA folders of peft as GGUF files of their own, which llama.cpp puts beside a base."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from evalcore.errors import InputError, ModelError
from evalcore.records import ModelSpec
from runners.adapters import read_adapter
from runners.checkpoints import Checkpoint
from runners.gguf.adapters import resolve_adapters, write_adapter
from runners.gguf.configuration import read_convertible
from runners.gguf.convert import beside
from runners.gguf.header import GgufHeader, GgufTensor, read_header
from runners.gguf.library import require
from runners.gguf.names import ARCHITECTURES, gguf_name
from runners.modelstring import parse_model
from runners.places import locate
from runners.resolving import resolve

__all__ = ["MARK", "AdapterConversion", "convert_adapter", "with_base"]

MARK: Final = "lora:"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConversion:
    """What was written."""

    path: str
    type: str
    size_bytes: int
    n_matrices: int
    """Matrices of the base that it changes."""
    base: str
    """Name of the base that it was checked against."""


def with_base(source: str, base: str | None) -> ModelSpec:
    """Read ``lora:FOLDER``, and on what it goes.

    Parameters
    ----------
    source
        As written.
    base
        A model string; None takes the base that the adapter's configuration names, if it is here.

    Returns
    -------
    ModelSpec
        The base with this adapter alone, unresolved.

    Raises
    ------
    InputError
        For a weight, a base with adapters, or one that isn't named.
    """
    on_top = f"+{source}"
    (adapter,) = parse_model(f"hf:base{on_top}").adapters
    if adapter.weight != 1.0:
        raise InputError(f"a weight is said where the adapter is used; got {source!r}")
    spec = parse_model(base or _named_base(Path(locate(adapter.path))))
    if spec.adapters:
        raise InputError(f"--base must be a model without adapters; got {spec.name!r}")
    return replace(spec, adapters=(adapter,))


def convert_adapter(
    spec: ModelSpec, path: Path, kind: str, *, note: Callable[[str], None] = lambda _: None
) -> AdapterConversion:
    """Write an adapter as a GGUF file.

    The file appears only when it is whole, and replaces one that is there.

    Parameters
    ----------
    spec
        Of backend ``hf`` or ``gguf``, with the adapter, which is checked against it as for a run.
    path
        The file.
    kind
        One of :data:`~runners.gguf.adapters.ADAPTER_TYPES`.
    note
        Is told what is being done.

    Raises
    ------
    ModelError
        For an adapter that was made for another base, or changes what llama.cpp can't adapt.
    """
    require()
    spec = resolve(spec)
    base = _header_of(spec)
    (adapter,) = spec.adapters
    if Path(adapter.path).is_file():
        raise ModelError(f"adapter is a GGUF file already ({adapter.path})")
    with beside(path) as folder:
        note("writing")
        whole = folder / "whole.gguf"
        write_adapter(Path(adapter.path), whole, base=base, kind=kind)
        # What was written has to be accepted where it will be used.
        resolve_adapters(replace(spec, adapters=(replace(adapter, path=str(whole)),)), base)
        written = read_header(whole)
        os.replace(whole, path)
    return AdapterConversion(
        path=str(path),
        type=kind,
        size_bytes=written.size_bytes,
        n_matrices=len(written.tensors) // 2,
        base=spec.weights,
    )


def _named_base(folder: Path) -> str:
    """Return the model string of the base that an adapter's configuration names."""
    named = str(read_adapter(folder).config.get("base_model_name_or_path") or "")
    if named.startswith("zoo:"):
        return named
    if (Path(named) / "config.json").is_file():
        return f"hf:{named}"
    raise InputError(
        f"--base must be given, such as hf:FOLDER or gguf:FILE: the base that the adapter names is "
        f"not here ({named!r} in {folder / 'adapter_config.json'})"
    )


def _header_of(spec: ModelSpec) -> GgufHeader:
    if spec.backend == "gguf":
        return read_header(Path(spec.weights))
    if spec.backend == "hf":
        return _as_header(read_convertible(locate(spec.weights, revision=spec.revision)))
    raise ModelError(f"--base must be a model of transformers or a GGUF file; got {spec.name!r}")


def _as_header(checkpoint: Checkpoint) -> GgufHeader:
    """Say of a checkpoint what an adapter has to know of its GGUF file."""
    config = checkpoint.config
    architecture = ARCHITECTURES[config["model_type"]]
    n_heads = int(config["num_attention_heads"])
    tensors = {}
    for name, header in checkpoint.tensors.items():
        module = gguf_name(name.removesuffix(".weight"))
        is_tied = module == "output" and config.get("tie_word_embeddings")
        if module is not None and not is_tied:
            tensors[f"{module}.weight"] = GgufTensor(type="F32", shape=header.shape, n_bytes=0)
    return GgufHeader(
        path=checkpoint.folder,
        metadata={
            "general.architecture": architecture,
            f"{architecture}.attention.head_count": n_heads,
            f"{architecture}.attention.head_count_kv": int(
                config.get("num_key_value_heads") or n_heads
            ),
        },
        tensors=tensors,
        size_bytes=0,
    )
