"""Adapters added to a layer's weights for one pass, where it is long enough to be worth it.

For T rows, x·Wᵀ + Σ sᵢ·(x·Aᵢᵀ)·Bᵢᵀ costs each row 2·r·(d + k) operations beside the layer and
several more ways through its answer; W + Σ sᵢ·Bᵢ·Aᵢ costs 2·r·d·k once. The sum is made anew in
each pass and dropped after it: the base's weights are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.nn.functional import linear

__all__ = ["in_one_product", "is_long", "merge_long_passes"]


def is_long(n_rows: int, *, n_in: int, n_out: int) -> bool:
    """Whether a pass is cheaper with the adapters added to the weights: T ≥ d·k / (d + k).

    That is where the operations are even, whatever the ranks; the sum of weights then takes no more
    memory than what goes into the layer and comes out of it. Measured (``benchmarks/lora.py``, one
    thread of a CPU, ranks 8 to 64, one adapter or three): merging is ahead from here on, even or
    a little ahead at two thirds as many rows, behind at an eighth.

    Parameters
    ----------
    n_rows
        Rows of the pass, T.
    n_in, n_out
        Width of what goes into the layer, d, and of what comes out, k.
    """
    return n_rows * (n_in + n_out) >= n_in * n_out


def merge_long_passes(layer: Any) -> None:
    """Let one of peft's layers add its active adapters to its weights in long passes.

    Done for plain linear layers alone, of which float32 on a CPU is then computed like this. In
    half precision the sum would be rounded, which changes answers; quantised layers have no weights
    to add to; on GPUs nothing was measured.
    """
    from peft.tuners.lora import Linear

    is_plain = type(layer) is Linear and type(layer.get_base_layer()) is torch.nn.Linear
    # Each of a stack's adapters is put into the same layer, which is changed the first time.
    if is_plain and not isinstance(layer.forward, partial):
        layer.forward = partial(_forward, layer, layer.forward)


def in_one_product(layer: Any, x: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Return what one of peft's linear layers and these of its adapters give, by one product.

    Parameters
    ----------
    layer, names
        Each of the names is an adapter of the layer.
    x
        Shape (…, n_in).
    """
    base = layer.get_base_layer()
    up = torch.cat([layer.lora_B[name].weight * layer.scaling[name] for name in names], dim=1)
    down = torch.cat([layer.lora_A[name].weight for name in names])
    return linear(x, torch.addmm(base.weight, up, down), base.bias)


def _forward(layer: Any, beside: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    is_active = bool(names) and not layer.disable_adapters and not layer.merged
    if is_active and not args and not kwargs and _pays(layer, x) and _is_plain(layer, x, names):
        return in_one_product(layer, x, names)
    return beside(x, *args, **kwargs)


def _pays(layer: Any, x: torch.Tensor) -> bool:
    base = layer.get_base_layer()
    n_rows = x.numel() // x.shape[-1]
    return is_long(n_rows, n_in=base.in_features, n_out=base.out_features)


def _is_plain(layer: Any, x: torch.Tensor, names: Sequence[str]) -> bool:
    """Whether all is in float32 on a CPU, and each adapter a product of two matrices alone."""
    tensors = [x, layer.get_base_layer().weight, *(layer.lora_A[name].weight for name in names)]
    return all(t.dtype is torch.float32 and t.device.type == "cpu" for t in tensors) and not any(
        name in layer.lora_variant or layer.lora_bias[name] for name in names
    )
