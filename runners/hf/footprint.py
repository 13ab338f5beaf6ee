"""How much memory a model's weights take as they are held, quantised or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["held_bytes"]


def held_bytes(model: Any) -> int:
    """Sum up the memory of a model's parameters and buffers, each storage once.

    transformers' own count doesn't look into what torchao puts in a parameter's place, and takes
    the scales of bitsandbytes for nothing.
    """
    storages: dict[tuple[torch.device, int], int] = {}
    for tensor in _tensors(model):
        storage = tensor.untyped_storage()
        storages[tensor.device, storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _tensors(model: Any) -> Iterator[torch.Tensor]:
    for module in model.modules():
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None:
                yield from _parts(tensor)
        # LLM.int8 keeps the scale of each row beside the weight, after its first use elsewhere.
        state = getattr(module, "state", None)
        for scales in (getattr(state, "SCB", None), getattr(state, "CB", None)):
            if isinstance(scales, torch.Tensor):
                yield scales


def _parts(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the plain tensors that a parameter is made of."""
    if hasattr(tensor, "__tensor_flatten__"):
        names, _ = tensor.__tensor_flatten__()
        for name in names:
            yield from _parts(getattr(tensor, name))
        return
    yield tensor
    state = getattr(tensor, "quant_state", None)
    while state is not None:
        yield from (part for part in (state.absmax, state.code) if part is not None)
        state = state.state2 if state.nested else None
    scales = getattr(tensor, "SCB", None)
    if isinstance(scales, torch.Tensor):
        yield scales
