"""Adapters put together by peft's other methods, as the matrices of one new adapter.

The arithmetic of pruning, of electing signs and of averaging is peft's own (``merge_utils``); how
matrices are weighted follows its ``add_weighted_adapter``, so that results are equal. Only what is
dropped at random differs: here it depends on the seed and the layer alone, not on the state of a
global generator.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from evalcore.errors import ModelError
from evalcore.hashing import content_hash
from evalcore.records import Combination
from runners.combinations import METHODS

__all__ = ["Factors", "Update", "combined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """A layer's update, weight·scaling·B·A."""

    up: torch.Tensor
    """B, of shape (n_out, rank)."""
    down: torch.Tensor
    """A, of shape (rank, n_in)."""
    scaling: float = 1.0
    """The adapter's own."""
    weight: float = 1.0
    """Of the adapter in its stack."""

    @property
    def factor(self) -> float:
        """What B·A is multiplied with."""
        return self.weight * self.scaling


Update = Mapping[str, Factors]
"""An adapter's factors by module."""


def combined(updates: Sequence[Update], how: Combination) -> dict[str, Factors]:
    """Put adapters together, layer by layer.

    Parameters
    ----------
    updates
        At least one; a layer that only some of them change is combined from those.
    how
        Method and settings.

    Returns
    -------
    dict of str to Factors
        With a scaling of 1, in the order in which layers first occur.

    Raises
    ------
    ModelError
        For adapters of several ranks where A and B are combined by themselves.
    """
    modules = dict.fromkeys(module for update in updates for module in update)
    rank = how.rank or max(len(part.down) for update in updates for part in update.values())
    return {
        module: _combined_layer([u[module] for u in updates if module in u], how, module, rank)
        for module in modules
    }


def _combined_layer(parts: Sequence[Factors], how: Combination, module: str, rank: int) -> Factors:
    if how.method == "cat":
        return Factors(
            up=torch.cat([part.up.float() for part in parts], dim=1),
            down=torch.cat([part.factor * part.down.float() for part in parts], dim=0),
        )
    if METHODS[how.method].whole:
        return _best_of_rank(parts, how, module, rank)
    ranks = sorted({len(part.down) for part in parts})
    if len(ranks) > 1:
        other = f"{how.method}_svd" if f"{how.method}_svd" in METHODS else "svd"
        raise ModelError(
            f"combine={how.method} needs adapters of one rank; got {', '.join(map(str, ranks))} "
            f"for {module}; combine={other} takes any"
        )
    # The weight is shared between A and B as a root each; A keeps the sign.
    roots = [math.sqrt(abs(part.factor)) for part in parts]
    signed = [math.copysign(root, part.factor) for root, part in zip(roots, parts, strict=True)]
    with _drawing(how, module):
        down = _merged([part.down.float() for part in parts], signed, how)
        up = _merged([part.up.float() for part in parts], roots, how)
    return Factors(up=up, down=down)


def _best_of_rank(parts: Sequence[Factors], how: Combination, module: str, rank: int) -> Factors:
    """Keep the best approximation of a rank of the combined updates (Eckart & Young 1936)."""
    whole = [part.scaling * part.up.float() @ part.down.float() for part in parts]
    with _drawing(how, module):
        update = _merged(whole, [part.weight for part in parts], how)
    u, s, vh = torch.linalg.svd(update, full_matrices=False)
    return Factors(up=(u * s)[:, :rank].contiguous(), down=vh[:rank].contiguous())


def _merged(
    tensors: list[torch.Tensor], weights: Sequence[float], how: Combination
) -> torch.Tensor:
    from peft.utils import merge_utils

    density = how.density
    merging: Mapping[str, Callable[..., torch.Tensor]] = {
        "linear": merge_utils.task_arithmetic,
        "svd": merge_utils.task_arithmetic,
        "ties": merge_utils.ties,
        "dare_linear": merge_utils.dare_linear,
        "dare_ties": merge_utils.dare_ties,
        "magnitude_prune": merge_utils.magnitude_prune,
    }
    merge = merging[how.method if how.method == "svd" else how.method.removesuffix("_svd")]
    return merge(tensors, torch.tensor(weights), *(() if density is None else (density,)))


@contextmanager
def _drawing(how: Combination, module: str) -> Iterator[None]:
    """Draw what is dropped by seed and layer, and leave torch's own state alone."""
    seed = int(content_hash(["combine", how.seed or 0, module])[:15], 16)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        torch.manual_seed(seed)
        warnings.filterwarnings("ignore", message="The density 1")  # all is kept, as was asked
        yield
