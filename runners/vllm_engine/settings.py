"""What ``vllm:PATH?…`` can be told, and what follows from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import ModelSpec

__all__ = [
    "LORA_RANKS",
    "OUTPUT_SETTINGS",
    "QUANTIZATIONS",
    "SETTINGS",
    "VllmSettings",
    "rank_class",
    "vllm_settings",
]

OUTPUT_SETTINGS: Final = ("max_len",)
"""Settings that change an output, hence the fingerprint."""
SETTINGS: Final = ("gpu_memory", "max_len", "max_lora_rank", "tensor_parallel")

QUANTIZATIONS: Final[Mapping[str, str]] = {"fp8": "fp8", "nf4": "bitsandbytes"}
"""vLLM's names of what ``?quant=`` takes; checkpoints that are quantised already say it."""

LORA_RANKS: Final = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's ``max_lora_rank`` may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """How a model is run."""

    max_len: int | None
    """Most tokens of prompt and answer together; None means as the checkpoint says."""
    max_lora_rank: int | None
    """Highest rank that room is made for; None means that of the variant's own adapters."""
    tensor_parallel: int
    """GPUs that each layer is split over."""
    gpu_memory: float
    """Share of a GPU's memory that vLLM may take."""


def vllm_settings(spec: ModelSpec) -> VllmSettings:
    """Read a spec's own settings.

    Raises
    ------
    ModelError
        For a value that is no number or outside of its range.
    """
    said = dict(spec.options) | dict(spec.access)
    rank = _number(said, "max_lora_rank", lambda n: n in LORA_RANKS, _listed(LORA_RANKS))
    max_len = _number(said, "max_len", lambda n: n >= 8 and n % 1 == 0, "a whole number from 8")
    parallel = _number(
        said, "tensor_parallel", lambda n: n >= 1 and n % 1 == 0, "a whole number from 1"
    )
    memory = _number(said, "gpu_memory", lambda n: 0 < n <= 1, "a share above 0 and at most 1")
    return VllmSettings(
        max_len=None if max_len is None else int(max_len),
        max_lora_rank=None if rank is None else int(rank),
        tensor_parallel=1 if parallel is None else int(parallel),
        gpu_memory=0.9 if memory is None else memory,
    )


def rank_class(rank: int) -> int:
    """Return the least ``max_lora_rank`` that an adapter of a rank needs; 0 for none.

    Raises
    ------
    ModelError
        For a rank above the highest.
    """
    if rank == 0:
        return 0
    fitting = [permitted for permitted in LORA_RANKS if permitted >= rank]
    if not fitting:
        raise ModelError(
            f"vLLM runs adapters of ranks up to {LORA_RANKS[-1]}; this stack's is {rank} in all"
        )
    return fitting[0]


def _listed(values: tuple[int, ...]) -> str:
    return f"one of {', '.join(map(str, values))}"


def _number(
    said: Mapping[str, str], key: str, permits: Callable[[float], bool], permitted: str
) -> float | None:
    if key not in said:
        return None
    try:
        number = float(said[key])
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and permits(number)):
        raise ModelError(f"{key} must be {permitted}; got {said[key]!r}")
    return number
