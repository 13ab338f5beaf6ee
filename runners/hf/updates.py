"""How large the changes of adapters are and how they lie to each other, without the base.

An update s·B·A is never multiplied out: with B = Q_B R_B and Aᵀ = Q_A R_A its singular values are
those of s·R_B R_Aᵀ, which is as small as the rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from evalcore.records import Adapter
from evalcore.stacking.records import StackGeometry, UpdateSize
from runners.adapters import read_adapter
from runners.hf.combining import Factors, Update
from runners.hf.tensors import read_tensors

__all__ = ["read_update", "stack_geometry"]


def stack_geometry(adapters: Sequence[Adapter], *, stack: str) -> StackGeometry:
    """Measure the updates Σ weight·scaling·B·A of a stack's adapters.

    Everything is summed over the layers: ranks add up, the norm is √Σ‖ΔW‖² over all of them, and
    the cosine of two adapters is Σ⟨ΔW_1, ΔW_2⟩ / (‖·‖‖·‖), 0 where they change different layers. A
    layer's numerical rank counts singular values above σ₁ · max(n_out, n_in) · ε, ε that of single
    precision [1]_.

    Parameters
    ----------
    adapters
        Resolved, with their weights.
    stack
        Name of their sum.

    Raises
    ------
    ModelError
        For a folder that holds no plain low-rank adapter.

    References
    ----------
    .. [1] Golub & Van Loan (2013), Matrix Computations, 4th ed., sections 5.4.1 and 5.5.8.
    """
    updates = [read_update(adapter) for adapter in adapters]
    sizes = [_size(adapter.name, [part]) for adapter, part in zip(adapters, updates, strict=True)]
    return StackGeometry(
        adapters=tuple(sizes),
        stack=_size(stack, updates),
        cosines=tuple(tuple(_cosine(one, other) for other in updates) for one in updates),
    )


def read_update(adapter: Adapter) -> Update:
    """Read the factors of an adapter's update, its weight in the scaling.

    Raises
    ------
    ModelError
        For a folder that holds no plain low-rank adapter.
    """
    files = read_adapter(Path(adapter.path))
    down: dict[str, torch.Tensor] = {}
    up: dict[str, torch.Tensor] = {}
    for name, tensor in read_tensors(files.weight_file).items():
        module, _, kind = name.removesuffix(".weight").rpartition(".")
        (up if kind.endswith("_B") else down)[module] = tensor
    return {
        module: Factors(
            up=up[module],
            down=a,
            scaling=_scaling(files.config, module, rank=len(a)),
            weight=adapter.weight,
        )
        for module, a in down.items()
    }


def _scaling(config: Mapping[str, Any], module: str, *, rank: int) -> float:
    """Return peft's factor on B·A, which patterns may change for some modules.

    A pattern is the end of a module's name from a dot on; the first one counts. peft itself is not
    asked: it takes seconds and 100 MB to import, which llama.cpp's models do without.
    """
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    own = (one for key, one in patterns.items() if re.fullmatch(rf"(.*\.)?({key})", module))
    alpha = float(next(own, config["lora_alpha"]))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _factors(updates: Sequence[Update], module: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return B with the scaling in it, and A, side by side: B₁A₁ + B₂A₂ = (B₁ B₂)·(A₁; A₂)."""
    parts = [update[module] for update in updates if module in update]
    return (
        torch.cat([part.factor * part.up.double().flatten(1) for part in parts], dim=1),
        torch.cat([part.down.double().flatten(1) for part in parts], dim=0),
    )


def _size(name: str, updates: Sequence[Update]) -> UpdateSize:
    """Measure the sum of updates."""
    rank, nominal, squares = 0, 0, 0.0
    for module in dict.fromkeys(module for update in updates for module in update):
        b, a = _factors(updates, module)
        found = _singular_values(b, a)
        least = found.max() * max(len(b), a.shape[1]) * torch.finfo(torch.float32).eps
        rank += int((found > least).sum())
        nominal += min(len(b), len(a), a.shape[1])
        squares += float(found.square().sum())
    return UpdateSize(name=name, rank=rank, nominal_rank=nominal, norm=math.sqrt(squares))


def _singular_values(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    core = torch.linalg.qr(b, mode="r").R @ torch.linalg.qr(a.T, mode="r").R.T
    values: torch.Tensor = torch.linalg.svdvals(core)
    return values


def _cosine(one: Update, other: Update) -> float:
    norms = math.sqrt(_product(one, one) * _product(other, other))
    return max(-1.0, min(1.0, _product(one, other) / norms)) if norms > 0.0 else math.nan


def _product(one: Update, other: Update) -> float:
    """Σ⟨B₁A₁, B₂A₂⟩ = Σ⟨B₁ᵀB₂, A₁A₂ᵀ⟩."""
    total = 0.0
    for module in one.keys() & other.keys():
        (first_b, first_a), (second_b, second_a) = (
            _factors([update], module) for update in (one, other)
        )
        total += float(((first_b.T @ second_b) * (first_a @ second_a.T)).sum())
    return total
