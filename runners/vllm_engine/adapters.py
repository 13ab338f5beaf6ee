"""A stack of adapters as one: vLLM puts one LoRA on a request.

B₁A₁ + B₂A₂ = (B₁ B₂)·(A₁; A₂), so that a stack is the adapter whose matrices are those of its parts
side by side: the exact sum, of the sum of their ranks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from evalcore.errors import ModelError
from evalcore.records import Adapter, Combination, ModelSpec
from runners.adapters import read_adapter
from runners.hf.combining import Factors, combined
from runners.hf.updates import read_update

__all__ = ["is_as_it_is", "stack_rank", "write_stack"]

_PREFIX = "base_model.model."


def stack_rank(spec: ModelSpec) -> int:
    """Return the rank that vLLM has to make room for; 0 without adapters.

    Raises
    ------
    ModelError
        For a folder that holds no plain low-rank adapter.
    """
    if not spec.adapters:
        return 0
    ranks = [_highest_rank(adapter) for adapter in spec.adapters]
    if spec.combination is None or spec.combination.method == "cat":
        return sum(ranks)
    return spec.combination.rank or max(ranks)


def is_as_it_is(spec: ModelSpec) -> bool:
    """Whether a spec's only adapter can be read from its own folder.

    vLLM knows no weight, and of ranks and scalings only one for the whole adapter.
    """
    if len(spec.adapters) != 1 or spec.combination is not None:
        return False
    (adapter,) = spec.adapters
    files = read_adapter(Path(adapter.path))
    own = ("rank_pattern", "alpha_pattern", "use_rslora")
    is_plain = not files.copies and not any(files.config.get(key) for key in own)
    return adapter.weight == 1 and is_plain


def write_stack(spec: ModelSpec, folder: Path) -> Path:
    """Write a spec's stack as one adapter with a scaling of 1, as peft does.

    Layers that only some of the adapters change, or with lower ranks, are filled up with zeros,
    since vLLM takes one rank for all.

    Parameters
    ----------
    spec
        Resolved, with adapters.
    folder
        Written to; made if it isn't there.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        For an adapter that is not plain low-rank, or changes embeddings.
    """
    how = spec.combination or Combination(method="cat")
    factors = combined([read_update(adapter) for adapter in spec.adapters], how)
    _check_layers(factors, spec.adapters)
    rank = max(len(part.down) for part in factors.values())
    tensors = {}
    for module, part in factors.items():
        down, up = _filled(part, rank)
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = down
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = up
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": spec.weights,
        "r": rank,
        "lora_alpha": rank,
        "target_modules": sorted({module.rpartition(".")[2] for module in factors}),
        "bias": "none",
        "inference_mode": True,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _highest_rank(adapter: Adapter) -> int:
    tensors = read_adapter(Path(adapter.path)).tensors
    ranks = [tensor.shape[0] for name, tensor in tensors.items() if "lora_A" in name]
    if not ranks:  # pickled weights can't be looked into without loading them
        ranks = [len(part.down) for part in read_update(adapter).values()]
    return max(ranks)


def _check_layers(factors: Mapping[str, Factors], adapters: Sequence[Adapter]) -> None:
    names = ", ".join(adapter.name for adapter in adapters)
    for adapter in adapters:
        tensors = read_adapter(Path(adapter.path)).tensors
        if any("lora_embedding" in name for name in tensors):
            raise ModelError(f"vLLM puts no adapter on embeddings; {adapter.name!r} changes them")
    if not factors:
        raise ModelError(f"adapters {names} change nothing")


def _filled(part: Factors, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A and B with rows and columns of zeros up to a rank, the factor in A."""
    down, up = part.factor * part.down.float(), part.up.float()
    missing = rank - len(down)
    return (
        torch.nn.functional.pad(down, (0, 0, 0, missing)).contiguous(),
        torch.nn.functional.pad(up, (0, missing)).contiguous(),
    )
