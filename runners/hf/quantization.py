"""Weights in 8 and 4 bits by bitsandbytes and torchao, and whether this machine can run them.

The libraries take long to import, which models that aren't quantised needn't wait for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from transformers import BitsAndBytesConfig, TorchAoConfig

from evalcore.errors import ModelError
from runners.quantizations import QUANTIZATIONS

__all__ = ["quantization_config", "settle_layers", "why_not"]

_N = 64
_PACKED_ROWS, _PACKED_COLUMNS = 32, 64


def quantization_config(quantization: str | None, dtype: torch.dtype) -> Any:
    """Return what transformers needs to quantise a model on loading, None for None.

    ``int8`` is LLM.int8 (Dettmers et al. 2022), ``nf4`` NormalFloat with double quantisation and
    ``nf4-single`` without it (Dettmers et al. 2023), both of which compute in `dtype`, and
    ``torchao-int8`` rounds weights alone, with one scale for each row. Embeddings and output heads
    stay as they are.

    What must not be done with a model in 4 bits is refused by :mod:`runners.hf.four_bit`.
    """
    match quantization:
        case None:
            return None
        case "int8":
            return BitsAndBytesConfig(load_in_8bit=True)
        case "nf4" | "nf4-single":
            return BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=quantization == "nf4",
                bnb_4bit_compute_dtype=dtype,
            )
        case "torchao-int8":
            from torchao.quantization import Int8WeightOnlyConfig  # type: ignore[import-untyped]

            return TorchAoConfig(Int8WeightOnlyConfig())
        case _:
            permitted = ", ".join(QUANTIZATIONS)
            raise ModelError(f"quant must be one of {permitted}; got {quantization!r}")


def settle_layers(model: Any) -> None:
    """Keep layers that bitsandbytes can't lay out for AVX512-BF16 in their plain layout.

    On CPUs that have it, the first use of a 4-bit layer packs its weight in blocks of 32 rows and
    64 columns, and fails for other shapes (``_convert_weight_packed_for_cpu``).
    """
    import bitsandbytes as bnb

    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear4bit) and (
            layer.out_features % _PACKED_ROWS or layer.in_features % _PACKED_COLUMNS
        ):
            layer.support_avx512bf16_for_cpu = False


@cache
def why_not(quantization: str, device: str) -> str | None:
    """Try a quantised layer on a device.

    Returns
    -------
    str or None
        The reason why it can't be run, in one line; None if it can.
    """
    try:
        error = _relative_error(quantization, torch.device(device))
    except Exception as problem:
        # Whatever stops the library here would stop a model: a missing one, a build for another
        # CUDA, an unsupported processor.
        return " ".join(f"{type(problem).__name__}: {problem}".split())
    return None if error < 0.2 else f"a layer's output is off by {error:.0%}"


def _relative_error(quantization: str, device: torch.device) -> float:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(_N, _N, generator=generator)
    inputs = torch.randn(_N, _N, generator=generator)
    layer = _layer(quantization, weight, device)
    with torch.inference_mode():
        outputs = layer(inputs.to(device, torch.bfloat16)).float().cpu()
    wanted = inputs @ weight.T
    return float((outputs - wanted).norm() / wanted.norm())


def _layer(quantization: str, weight: torch.Tensor, device: torch.device) -> Any:
    if quantization == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig, quantize_

        plain = torch.nn.Linear(_N, _N, bias=False, dtype=torch.bfloat16)
        plain.load_state_dict({"weight": weight})
        quantize_(plain, Int8WeightOnlyConfig())
        return plain.to(device)
    import bitsandbytes as bnb

    layer = (
        bnb.nn.Linear8bitLt(_N, _N, bias=False, has_fp16_weights=False)
        if quantization == "int8"
        else bnb.nn.Linear4bit(
            _N,
            _N,
            bias=False,
            quant_type="nf4",
            compress_statistics=quantization == "nf4",
            compute_dtype=torch.bfloat16,
        )
    )
    layer.load_state_dict({"weight": weight})
    return layer.to(device)
