"""Tensors of adapters and models from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

__all__ = ["read_tensor", "read_tensors"]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read matrices by the name of their place in the model.

    Copies of the base's weights, which were compared with it when the adapter was looked at, are
    left out.
    """
    tensors = (
        {key: tensor for key, tensor in load_file(path).items() if ".base_layer." not in key}
        if path.suffix == ".safetensors"
        else torch.load(path, map_location="cpu", weights_only=True)
    )
    return {key.removeprefix("base_model.model."): tensor for key, tensor in tensors.items()}


def read_tensor(files: Sequence[Path], name: str) -> torch.Tensor | None:
    """Read one tensor from the safetensors file that has it; None where none does."""
    for path in files:
        if path.suffix != ".safetensors":
            continue
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118  (a file can't be asked itself)
                tensor: torch.Tensor = file.get_tensor(name)
                return tensor
    return None
