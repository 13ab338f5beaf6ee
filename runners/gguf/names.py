"""How llama.cpp names the tensors of LLaMA-like models, and in which order it wants their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

__all__ = ["ARCHITECTURES", "gguf_name", "is_rotated", "rotated"]

ARCHITECTURES: Final[Mapping[str, str]] = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
"""llama.cpp's architecture by the ``model_type`` of transformers."""

_WHOLE: Final[Mapping[str, str]] = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
}
_OF_A_LAYER: Final[Mapping[str, str]] = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")


def gguf_name(module: str) -> str | None:
    """Return llama.cpp's name of a module of transformers, without ``.weight``; None for none.

    Examples
    --------
    >>> gguf_name("model.layers.3.self_attn.q_proj")
    'blk.3.attn_q'
    """
    local = module.removeprefix("base_model.model.").removeprefix("model.")
    match = _LAYER.fullmatch(local)
    if match is None:
        return _WHOLE.get(local)
    part = _OF_A_LAYER.get(match[2])
    return None if part is None else f"blk.{match[1]}.{part}"


def is_rotated(name: str, architecture: str) -> bool:
    """Say whether the rows of this tensor are in another order in llama.cpp.

    It turns neighbouring pairs of a head's numbers in rotary embeddings where transformers turns
    those half a head apart; for ``llama`` the rows of queries and keys are stored in its order.
    """
    return architecture == "llama" and name.rpartition(".")[2] in ("attn_q", "attn_k")


def rotated(rows: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Bring rows of shape (n_heads · size, …) from the order of transformers into llama.cpp's."""
    halves = rows.reshape(n_heads, 2, len(rows) // n_heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape).contiguous()
