"""What ``gguf:FILE?…`` can be told, and what follows from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.gguf.header import GgufHeader

__all__ = ["OUTPUT_SETTINGS", "SETTINGS", "GgufSettings", "check_gpu_memory", "gguf_settings"]

OUTPUT_SETTINGS: Final = ("n_ctx",)
"""Settings that change an output, hence the fingerprint."""
SETTINGS: Final = ("n_ctx", "n_threads", "n_gpu_layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufSettings:
    """How a file is run."""

    window: int
    """Tokens that the model reads at once."""
    n_threads: int
    n_gpu_layers: int
    exact: bool
    """Whether keys and values are kept in single precision."""


def gguf_settings(spec: ModelSpec, header: GgufHeader) -> GgufSettings:
    """Read a spec's own settings.

    Raises
    ------
    ModelError
        For a value that is no number or outside of its range, such as a context longer than the
        model was trained with.
    """
    said = dict(spec.options) | dict(spec.access)
    trained = header.window
    if trained is None:
        raise ModelError(f"GGUF file doesn't say what context it was trained with ({header.path})")
    window = _number(said, "n_ctx", trained, least=8)
    if window > trained:
        raise ModelError(
            f"n_ctx must be at most {trained}, the context that the model was trained with; got "
            f"{window} ({header.path})"
        )
    return GgufSettings(
        window=window,
        n_threads=_number(said, "n_threads", _n_cores(), least=1),
        n_gpu_layers=_number(said, "n_gpu_layers", 0, least=0),
        exact=spec.dtype == "float32",
    )


def check_gpu_memory(header: GgufHeader, n_gpu_layers: int, free_bytes: int) -> None:
    """Refuse more layers on the GPU than its memory holds; llama.cpp would end the process.

    Layers count from the last one, and the output layer is one more, as in llama.cpp. A tenth and
    256 MiB are left for keys, values and what is computed.

    Raises
    ------
    ModelError
        Saying how many would fit.
    """
    n_layers = header.number("block_count") or 0
    sizes = [0] * (n_layers + 1)
    for name, tensor in header.tensors.items():
        parts = name.split(".")
        if parts[0] == "blk" and parts[1].isdigit() and int(parts[1]) < n_layers:
            sizes[int(parts[1])] += tensor.n_bytes
        elif parts[0] in ("output", "output_norm"):
            sizes[n_layers] += tensor.n_bytes
    room = int(0.9 * free_bytes) - 256 * 2**20
    n_fitting = 0
    for size in reversed(sizes):
        room -= size
        if room < 0:
            break
        n_fitting += 1
    if min(n_gpu_layers, len(sizes)) > n_fitting:
        raise ModelError(
            f"n_gpu_layers must be at most {n_fitting} for the {free_bytes / 2**30:.1f} GiB that "
            f"are free on the GPU; got {n_gpu_layers} ({header.path})"
        )


def _number(said: Mapping[str, str], key: str, default: int, *, least: int) -> int:
    text = said.get(key, str(default))
    number = int(text) if text.isdecimal() and len(text) < 10 else -1
    if number < least:
        raise ModelError(f"{key} must be a whole number of at least {least}; got {text!r}")
    return number


def _n_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
