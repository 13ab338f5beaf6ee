"""Adapters that are no LoRA: folders as peft writes them for LLaMA-Adapter, prefixes and IA3.

Each of them is the only adapter of its variant: none has an exact sum with something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.adapters import ADAPTER_WEIGHT_FILES, AdapterFolder, read_adapter
from runners.checkpoints import read_json, read_tensor_headers

__all__ = ["OTHER_KINDS", "check_kinds", "open_adapter"]

OTHER_KINDS: Final[Mapping[str, str]] = {
    "ADAPTION_PROMPT": "LLaMA-Adapter adds to what attention returns, which depends on what the "
    "layers before it were changed to",
    "IA3": "IA3 multiplies activations, which is no sum of updates",
    "PREFIX_TUNING": "prefix tuning puts keys and values of its own in front of every text, made "
    "for the base's layers as they are",
    "PROMPT_TUNING": "prompt tuning puts virtual tokens in front of every text, made for the base "
    "as it is",
}
"""By ``peft_type``: why there is no exact stack of it with another adapter."""


def open_adapter(folder: Path) -> AdapterFolder:
    """Check that a folder holds an adapter of a kind that can be run.

    Raises
    ------
    ModelError
        Naming what is missing, broken or not known here.
    """
    config = read_json(folder / "adapter_config.json", what="adapter folder")
    kind = config.get("peft_type")
    if kind == "LORA":
        return read_adapter(folder)
    where = folder / "adapter_config.json"
    if kind not in OTHER_KINDS:
        kinds = ", ".join(("LORA", *OTHER_KINDS))
        raise ModelError(f"adapter's peft_type must be one of {kinds}; got {kind!r} ({where})")
    if config.get("modules_to_save"):
        raise ModelError(f"adapter replaces whole modules (modules_to_save in {where})")
    weight_file = next(
        (path for name in ADAPTER_WEIGHT_FILES if (path := folder / name).is_file()), None
    )
    if weight_file is None:
        names = " or ".join(ADAPTER_WEIGHT_FILES)
        raise ModelError(f"no weights ({names}) in adapter folder {folder}")
    tensors = read_tensor_headers(weight_file)
    return AdapterFolder(folder=folder, config=config, weight_file=weight_file, tensors=tensors)


def check_kinds(spec: ModelSpec, folders: Sequence[AdapterFolder]) -> None:
    """Refuse a stack with an adapter that has no exact sum with the others.

    Raises
    ------
    ModelError
        Naming the adapter and the reason; also for a weight other than 1, or a combination.
    """
    for adapter, files in zip(spec.adapters, folders, strict=True):
        reason = OTHER_KINDS.get(files.config["peft_type"])
        if reason is None:
            continue
        if len(folders) > 1:
            raise ModelError(f"adapter {adapter.name!r} can't be part of a stack: {reason}")
        if adapter.weight != 1.0:
            raise ModelError(
                f"adapter {adapter.name!r} takes no weight: {reason} (got *{adapter.weight:g})"
            )
        if spec.combination is not None:
            raise ModelError(
                f"adapter {adapter.name!r} can't be combined by {spec.combination.method}: {reason}"
            )
