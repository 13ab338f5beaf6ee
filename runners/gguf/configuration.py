"""Configurations of transformers that llama.cpp has an architecture for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalcore.errors import ModelError
from runners.checkpoints import Checkpoint, read_checkpoint
from runners.gguf.names import ARCHITECTURES

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["add_configuration", "read_convertible"]


def read_convertible(folder: Path) -> Checkpoint:
    """Read a checkpoint that can be written as GGUF; its configuration with all defaults in it.

    Raises
    ------
    ModelError
        If it is broken, or llama.cpp would compute something else; says what of it.
    """
    checkpoint = read_checkpoint(folder)
    where = folder / "config.json"
    kind = checkpoint.config["model_type"]
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"model_type must be one of {', '.join(ARCHITECTURES)} to be written as GGUF; got "
            f"{kind!r} ({where})"
        )
    config = _with_defaults(folder)
    window = int(config["max_position_embeddings"])
    unknown = {
        "attention_bias": kind == "qwen3" and config.get("attention_bias"),
        "mlp_bias": kind not in ("llama", "mistral") and config.get("mlp_bias"),
        "quantization_config": config.get("quantization_config"),
        "use_sliding_window": config.get("use_sliding_window"),
        "sliding_window": kind == "mistral" and (config.get("sliding_window") or window) < window,
        "hidden_act": config["hidden_act"] != "silu",
    }
    for field, is_set in unknown.items():
        if is_set:
            raise ModelError(f"a model with this {field} can't be written as GGUF ({where})")
    return replace(checkpoint, config=config)


def add_configuration(writer: GGUFWriter, config: Mapping[str, Any]) -> None:
    """Write sizes and constants of a convertible checkpoint."""
    n_heads = int(config["num_attention_heads"])
    head_size = int(config.get("head_dim") or config["hidden_size"] // n_heads)
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(n_heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or n_heads))
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_vocab_size(int(config["vocab_size"]))


def _with_defaults(folder: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    from runners.hf.loading import one_line_errors, quiet_transformers

    with quiet_transformers(), one_line_errors(folder):
        config: dict[str, Any] = AutoConfig.from_pretrained(folder, local_files_only=True).to_dict()
    return config
