"""``hf:FOLDER_OR_HUB_ID[@REVISION][?dtype=bf16&quant=nf4&template=alpaca&device=cuda:0]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalcore.errors import ModelError
from evalcore.hashing import content_hash
from evalcore.records import Adapter, ModelSpec
from runners.adapter_kinds import check_kinds, open_adapter
from runners.adapters import check_fits
from runners.backends import Backend, without_template
from runners.checkpoints import Checkpoint, read_checkpoint
from runners.combinations import COMBINE_SETTINGS, check_combination, with_combination
from runners.places import at_home, locate
from runners.quantizations import QUANTIZATIONS, check_installed, check_loadable
from runners.settings import with_settings
from runners.stack_checks import check_companions

if TYPE_CHECKING:
    from runners.hf.resident import HfResident
    from runners.options import RunnerOptions

__all__ = ["BACKEND", "files_of", "placed_spec", "read_settings", "resolve_files"]


def _read(where: str, settings: Mapping[str, str]) -> ModelSpec:
    return read_settings(placed_spec("hf", where), settings)


def placed_spec(backend: str, where: str) -> ModelSpec:
    """Read ``FOLDER_OR_HUB_ID[@REVISION]``; ModelError for a revision that is empty."""
    revision = None
    folder, at, tail = where.rpartition("@")
    if at and folder and "/" not in tail:
        if not tail:
            raise ModelError(f"the revision after '@' is empty in model '{backend}:{where}'")
        where, revision = folder, tail
    return ModelSpec(name="", backend=backend, weights=where, revision=revision)


def read_settings(spec: ModelSpec, settings: Mapping[str, str]) -> ModelSpec:
    """Put the settings of a model string into a spec; ModelError for one that is unknown."""
    spec = with_settings(spec, settings, own=COMBINE_SETTINGS)
    return with_combination(spec, settings)


def _resolve(spec: ModelSpec) -> ModelSpec:
    resolved = resolve_files(spec)
    _check_quantization(spec, read_checkpoint(locate(resolved.weights, revision=resolved.revision)))
    return resolved


def resolve_files(spec: ModelSpec) -> ModelSpec:
    """Find and check the files of a checkpoint and its adapters; see :class:`Backend`."""
    spec = at_home(spec)
    folder = locate(spec.weights, revision=spec.revision)
    is_local = os.path.isdir(spec.weights)
    checkpoint = read_checkpoint(folder)
    check_combination(spec)
    return replace(
        spec,
        # The hub's cache names a folder by its commit: the run that follows loads what was hashed.
        revision=None if is_local else folder.name,
        sha256=checkpoint.sha256,
        dtype=spec.dtype or ("bfloat16" if spec.quantization else checkpoint.dtype),
        adapters=_resolve_adapters(spec, checkpoint),
        n_parameters=checkpoint.n_parameters or spec.n_parameters,
    )


def _window(spec: ModelSpec) -> int | None:
    return read_checkpoint(locate(spec.weights, revision=spec.revision)).window


def files_of(spec: ModelSpec) -> list[Path]:
    """Return the files of a resolved spec's checkpoint and adapters; see :class:`Backend`."""
    base = read_checkpoint(locate(spec.weights, revision=spec.revision))
    adapters = [open_adapter(locate(adapter.path)) for adapter in spec.adapters]
    return [*base.files, *(path for adapter in adapters for path in adapter.files)]


def _plan_key(spec: ModelSpec) -> str:
    """Name what shapes the tokens: plain LoRA adapters without a template of their own don't."""
    adapters = [(adapter, open_adapter(locate(adapter.path))) for adapter in spec.adapters]
    shaping = [
        adapter.sha256
        for adapter, folder in adapters
        if folder.has_template or folder.config.get("peft_type") != "LORA"
    ]
    return content_hash([spec.chat_template, shaping])


def _shared(spec: ModelSpec) -> ModelSpec:
    """Return what has to be in memory: of merged adapters, the base with them."""
    bare = without_template(spec)
    if spec.combination is None or not spec.combination.is_merged:
        return bare
    return replace(bare, adapters=spec.adapters, combination=spec.combination)


def _open(spec: ModelSpec, options: RunnerOptions) -> HfResident:
    from runners.hf.resident import HfResident

    return HfResident(spec, options)


def _resolve_adapters(spec: ModelSpec, base: Checkpoint) -> tuple[Adapter, ...]:
    folders = [open_adapter(locate(adapter.path)) for adapter in spec.adapters]
    for files in folders:
        if files.config["peft_type"] == "LORA":
            check_fits(files, base)
    check_kinds(spec, folders)
    check_companions(spec, folders, base)
    return tuple(
        replace(adapter, path=str(files.folder), sha256=files.sha256)
        for adapter, files in zip(spec.adapters, folders, strict=True)
    )


def _check_quantization(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    check_loadable(checkpoint.config, checkpoint.folder)
    if spec.quantization is None:
        return
    check_installed(spec.quantization)
    if "quantization_config" in checkpoint.config:
        raise ModelError(
            f"quant={spec.quantization} can't be applied to a checkpoint that is quantised already "
            f"({checkpoint.folder}); leave quant out"
        )


BACKEND = Backend(
    kind="a model of transformers",
    read=_read,
    resolve=_resolve,
    shared=_shared,
    files=files_of,
    plan_key=_plan_key,
    window=_window,
    open=_open,
    quantizations=tuple(QUANTIZATIONS),
    takes_adapters=True,
    packages=(
        "transformers",
        "accelerate",
        "peft",
        "bitsandbytes",
        "torchao",
        "safetensors",
        "tokenizers",
    ),
)
