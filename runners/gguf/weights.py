"""A checkpoint's tensors, adapters merged in, as a GGUF file has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.checkpoints import Checkpoint
from runners.gguf.names import gguf_name, is_rotated, rotated

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = ["add_tensor", "named_tensors"]


def named_tensors(
    spec: ModelSpec, checkpoint: Checkpoint, architecture: str
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield tensors in single precision under llama.cpp's names and in its order of rows.

    Parameters
    ----------
    spec
        Resolved; its adapters are merged in.
    checkpoint
        Its base.
    architecture
        llama.cpp's name of it.

    Raises
    ------
    ModelError
        For a tensor that llama.cpp doesn't have, or an adapter of a weight that modules share.
    """
    config = checkpoint.config
    n_heads = int(config["num_attention_heads"])
    n_key_heads = int(config.get("num_key_value_heads") or n_heads)
    is_tied = bool(config.get("tie_word_embeddings"))
    for name, tensor in _merged(spec, checkpoint).items():
        module, _, kind = name.rpartition(".")
        if module == "lm_head" and is_tied:
            continue
        target = gguf_name(module)
        if target is None or kind not in ("weight", "bias"):
            raise ModelError(f"a model with {name} can't be written as GGUF ({checkpoint.folder})")
        if is_rotated(target, architecture):
            tensor = rotated(tensor, n_key_heads if target.endswith("_k") else n_heads)
        yield f"{target}.{kind}", tensor


def _merged(spec: ModelSpec, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Return W + Σ weight·scaling·B·A for all weights, in single precision."""
    from runners.hf.tensors import read_tensors
    from runners.hf.updates import read_update

    weights = {
        name: tensor.float()
        for file in checkpoint.weight_files
        for name, tensor in read_tensors(file).items()
        if not name.endswith("rotary_emb.inv_freq")
    }
    for adapter in spec.adapters:
        for module, factors in read_update(adapter).items():
            name = f"{module}.weight"
            if name not in weights:
                raise ModelError(
                    f"adapter {adapter.name!r} can't be merged: {module} has no weight of its own "
                    f"({adapter.path})"
                )
            change = factors.factor * (factors.up.float() @ factors.down.float())
            if gguf_name(module) == "token_embd":
                if checkpoint.config.get("tie_word_embeddings"):
                    raise ModelError(
                        f"adapter {adapter.name!r} can't be merged: {module} shares its weight "
                        f"with the output layer ({adapter.path})"
                    )
                change = change.T  # A has a column for each token, the embeddings a row
            weights[name] += change
    return weights


def add_tensor(writer: GGUFWriter, name: str, tensor: torch.Tensor, kind: str) -> None:
    """Add a tensor; vectors stay in single precision, as llama.cpp wants them."""
    from gguf import GGMLQuantizationType, quants

    if tensor.ndim == 1 or kind == "F32":
        writer.add_tensor(name, tensor.float().numpy())
    elif kind == "F16":
        writer.add_tensor(name, tensor.half().numpy())
    else:
        values = quants.quantize(tensor.float().numpy(), GGMLQuantizationType.BF16)
        writer.add_tensor(name, values, raw_dtype=GGMLQuantizationType.BF16)
