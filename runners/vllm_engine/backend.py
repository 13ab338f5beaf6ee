"""``vllm:FOLDER_OR_HUB_ID[@REVISION][?dtype=bf16&quant=fp8&tensor_parallel=2&max_len=4096]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.backends import Backend, without_template
from runners.checkpoints import read_checkpoint
from runners.combinations import COMBINE_SETTINGS, with_combination
from runners.hf.backend import files_of, placed_spec, resolve_files
from runners.places import locate
from runners.settings import with_settings
from runners.vllm_engine.library import require_gpus, why_not
from runners.vllm_engine.settings import (
    OUTPUT_SETTINGS,
    QUANTIZATIONS,
    SETTINGS,
    rank_class,
    vllm_settings,
)

if TYPE_CHECKING:
    from runners.options import RunnerOptions
    from runners.vllm_engine.resident import VllmResident

__all__ = ["BACKEND"]


def _read(where: str, settings: Mapping[str, str]) -> ModelSpec:
    spec = with_settings(
        placed_spec("vllm", where),
        settings,
        common=("dtype", "quant", "template"),
        own=(*SETTINGS, *COMBINE_SETTINGS),
    )
    own = sorted((key, value) for key, value in settings.items() if key in SETTINGS)
    spec = replace(
        spec,
        options=tuple((key, value) for key, value in own if key in OUTPUT_SETTINGS),
        access=tuple((key, value) for key, value in own if key not in OUTPUT_SETTINGS),
    )
    vllm_settings(spec)
    spec = with_combination(spec, settings)
    if spec.combination is not None and spec.combination.is_merged:
        raise ModelError("vLLM puts adapters beside the weights; combine=merge is for hf:")
    return spec


def _shared(spec: ModelSpec) -> ModelSpec:
    """Return the base with the rank that room has to be made for: vLLM is told on loading."""
    from runners.vllm_engine.adapters import stack_rank

    rank = vllm_settings(spec).max_lora_rank or rank_class(stack_rank(spec))
    access = {**dict(spec.access), **({"max_lora_rank": str(rank)} if rank else {})}
    return replace(without_template(spec), access=tuple(sorted(access.items())))


def _prepare(spec: ModelSpec) -> None:
    require_gpus(vllm_settings(spec).tensor_parallel)


def _window(spec: ModelSpec) -> int | None:
    checkpoint = read_checkpoint(locate(spec.weights, revision=spec.revision))
    return vllm_settings(spec).max_len or checkpoint.window


def _open(spec: ModelSpec, _options: RunnerOptions) -> VllmResident:
    from runners.vllm_engine.resident import VllmResident

    return VllmResident(spec)


BACKEND = Backend(
    kind="a model of vLLM",
    read=_read,
    resolve=resolve_files,
    prepare=_prepare,
    shared=_shared,
    files=files_of,
    window=_window,
    open=_open,
    quantizations=tuple(QUANTIZATIONS),
    takes_adapters=True,
    packages=("vllm", "transformers", "tokenizers"),
    why_not=why_not,
)
