"""Adapters' tensors from disk."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

__all__ = ["read_tensors"]


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read matrices by the name of their place in the model."""
    tensors = (
        load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, map_location="cpu", weights_only=True)
    )
    return {key.removeprefix("base_model.model."): tensor for key, tensor in tensors.items()}
