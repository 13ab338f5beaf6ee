"""``gguf:FILE[?n_ctx=2048&n_threads=4&n_gpu_layers=0&dtype=fp32&template=alpaca]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalcore.errors import ModelError
from evalcore.hashing import file_sha256
from evalcore.records import ModelSpec
from runners.backends import Backend
from runners.gguf.adapters import resolve_adapters
from runners.gguf.header import FILE_TYPES, GgufHeader, read_header
from runners.gguf.library import library, require, why_not
from runners.gguf.settings import OUTPUT_SETTINGS, SETTINGS, check_gpu_memory, gguf_settings
from runners.settings import with_settings

if TYPE_CHECKING:
    from runners.gguf.resident import GgufResident
    from runners.options import RunnerOptions

__all__ = ["BACKEND"]


def _read(where: str, settings: Mapping[str, str]) -> ModelSpec:
    spec = ModelSpec(name="", backend="gguf", weights=where)
    spec = with_settings(spec, settings, common=("dtype", "template"), own=SETTINGS)
    own = sorted((key, value) for key, value in settings.items() if key in SETTINGS)
    return replace(
        spec,
        options=tuple((key, value) for key, value in own if key in OUTPUT_SETTINGS),
        access=tuple((key, value) for key, value in own if key not in OUTPUT_SETTINGS),
    )


def _resolve(spec: ModelSpec) -> ModelSpec:
    """Say what is in the file; a file in single precision keeps its keys and values so, too."""
    require()
    if spec.combination is not None:
        raise ModelError(
            f"llama.cpp adds adapters up; combine={spec.combination.method} is for hf:"
        )
    path = Path(spec.weights).expanduser().absolute()
    header = _header(path)
    gguf_settings(spec, header)
    licence = header.metadata.get("general.license")
    return replace(
        spec,
        weights=str(path),
        sha256=file_sha256(path),
        quantization=header.file_type,
        dtype=spec.dtype or ("float32" if header.file_type == "F32" else "float16"),
        licence=spec.licence or (str(licence) if licence else None),
        adapters=resolve_adapters(spec, header),
    )


def _files(spec: ModelSpec) -> list[Path]:
    return [Path(spec.weights), *(Path(adapter.path) for adapter in spec.adapters)]


def _header(path: Path) -> GgufHeader:
    if path.is_dir():
        raise ModelError(f"gguf: takes a file; {path} is a folder, which hf: would run")
    if not path.is_file():
        raise ModelError(f"GGUF file not found: {path}")
    header = read_header(path)
    if header.metadata.get("general.type", "model") != "model":
        kind = header.metadata["general.type"]
        raise ModelError(f"GGUF file holds no model: its type is {kind!r} ({path})")
    return header


def _prepare(spec: ModelSpec) -> None:
    """Find out whether the GPU can take the layers that it is to take."""
    header = read_header(Path(spec.weights))
    n_layers = gguf_settings(spec, header).n_gpu_layers
    if n_layers == 0:
        return
    if not library().llama_supports_gpu_offload():
        raise ModelError(
            f"n_gpu_layers={n_layers} needs a llama.cpp that was built for a GPU "
            "(CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-cache-dir "
            "--no-binary llama-cpp-python llama-cpp-python); n_gpu_layers=0 works"
        )
    import torch

    if torch.cuda.is_available():
        check_gpu_memory(header, n_layers, int(torch.cuda.mem_get_info()[0]))


def _window(spec: ModelSpec) -> int | None:
    return gguf_settings(spec, read_header(Path(spec.weights))).window


def _open(spec: ModelSpec, options: RunnerOptions) -> GgufResident:
    from runners.gguf.resident import GgufResident

    return GgufResident(spec, options)


BACKEND = Backend(
    kind="a GGUF file",
    read=_read,
    resolve=_resolve,
    prepare=_prepare,
    files=_files,
    window=_window,
    open=_open,
    dtypes=("float32", "float16"),
    quantizations=tuple(FILE_TYPES.values()),
    takes_adapters=True,
    packages=("llama-cpp-python", "gguf"),
    why_not=why_not,
)
