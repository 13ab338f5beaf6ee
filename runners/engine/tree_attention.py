"""Attention over a tree of tokens, registered with transformers so that model code stays untouched.

One sequence holds many documents and their choices without padding. Its rows come in segments; the
keys and values of the path above a segment lie in one buffer per layer, indexed by depth, and the
segment's own are written behind them. So each segment attends in one call of torch's fused kernel
to exactly the beginning of that buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from runners.engine.architecture import check_arguments, replaced_attention
from runners.engine.tree import Segment, Tree, own_mask

__all__ = ["PathStates", "Piece", "tree_attention"]

_NAME = "parity_tree"


@contextmanager
def tree_attention(model: Any) -> Iterator[None]:
    """Let a model's layers attend over a tree; each forward pass then needs ``tree_piece=``."""
    with replaced_attention(model, _NAME):
        yield


class PathStates:
    """Keys and values of one path, by layer and depth.

    A segment is written behind its path, over what lay there: descendants of a row that is no
    longer on the path.
    """

    def __init__(self) -> None:
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.capacity = 0
        """Depths that there is room for."""
        self.sliding_windows: dict[int, int | None] = {}
        """By layer, as its attention has been called."""

    def reserve(self, n_tokens: int) -> None:
        """Make room, keeping what is there."""
        if n_tokens <= self.capacity:
            return
        self.capacity = n_tokens
        for layer, (keys, values) in self._layers.items():
            self._layers[layer] = (self._grown(keys), self._grown(values))

    def layer(
        self, index: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values: (1, n_kv_heads, capacity, head_size) each."""
        if index not in self._layers:
            self._layers[index] = (self._grown(key[:, :, :0]), self._grown(value[:, :, :0]))
        return self._layers[index]

    def _grown(self, states: torch.Tensor) -> torch.Tensor:
        n_batch, n_heads, n_tokens, size = states.shape
        grown = states.new_empty(n_batch, n_heads, self.capacity, size)
        grown[:, :, :n_tokens] = states
        return grown


@dataclass(frozen=True, slots=True)
class _Placed:
    """A segment, its depth, and which of its rows see which."""

    rows: slice
    """Within the piece."""
    depth: int
    """Length of the path above it."""
    row_depth: torch.Tensor
    deepest: int
    own: torch.Tensor
    """(n_rows, n_rows), true where a row sees another."""
    read: torch.Tensor
    """Rows of the segment whose prediction is read; the others end in the last layer."""


class Piece:
    """Segments that go through the model in one forward pass.

    Parameters
    ----------
    tree
        What they are part of.
    parts
        Consecutive segments of it.
    states
        Holds the path above the first; afterwards it holds the path to the last.
    last_layer
        Index of the layer in which only rows attend whose prediction is read.
    """

    def __init__(
        self, tree: Tree, parts: Sequence[Segment], states: PathStates, *, last_layer: int
    ) -> None:
        self.start, self.stop = parts[0].start, parts[-1].stop
        self.states = states
        self.last_layer = last_layer
        self.placed = [_place(tree, part, self.start) for part in parts]
        self._masks: dict[tuple[int, int | None, torch.device], torch.Tensor] = {}
        states.reserve(max(p.depth + p.rows.stop - p.rows.start for p in self.placed))

    def mask(self, at: int, window: int | None, like: torch.Tensor) -> tuple[int, torch.Tensor]:
        """Return the first depth that a segment sees, and what is added to its scores.

        Parameters
        ----------
        at
            Which segment.
        window
            Depths that a row sees, its own included; None means all.
        like
            Gives type and device.

        Returns
        -------
        int, torch.Tensor
            The depth, and zeros and minus infinities of shape (n_rows, n_keys): the path from that
            depth on, then the segment's own rows.
        """
        part = self.placed[at]
        n_rows = part.rows.stop - part.rows.start
        if window is not None and window > part.deepest:
            window = None
        first = 0 if window is None else max(0, part.depth - window + 1)
        key = (at, window, like.device)
        if key not in self._masks:
            device = like.device
            path = torch.ones(n_rows, part.depth - first, dtype=torch.bool, device=device)
            sees = torch.cat([path, part.own.to(device)], dim=1)
            if window is not None:
                row_depth = part.row_depth.to(device)
                depths = torch.cat([torch.arange(first, part.depth, device=device), row_depth])
                sees &= row_depth[:, None] - depths < window
            bias = like.new_zeros(sees.shape)
            self._masks[key] = bias.masked_fill_(~sees, -torch.inf)
        return first, self._masks[key]


def _place(tree: Tree, part: Segment, start: int) -> _Placed:
    return _Placed(
        rows=slice(part.start - start, part.stop - start),
        depth=int(tree.depth[part.start]),
        row_depth=torch.from_numpy(tree.depth[part.start : part.stop]),
        deepest=int(tree.depth[part.start : part.stop].max()),
        own=torch.from_numpy(own_mask(tree, part)),
        read=torch.from_numpy(tree.read_rows(part.start, part.stop) - part.start),
    )


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,
    *,
    tree_piece: Piece,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Write each segment's keys and values behind its path, and attend to all of it.

    Parameters
    ----------
    module
        The attention layer.
    query : (1, n_heads, n_rows, head_size)
    key, value : (1, n_kv_heads, n_rows, head_size)

    Returns
    -------
    torch.Tensor : (1, n_rows, n_heads, value_size)
    """
    check_arguments(others, dropout)
    tree_piece.states.sliding_windows[module.layer_idx] = sliding_window
    keys, values = tree_piece.states.layer(module.layer_idx, key, value)
    n_heads, n_rows = query.shape[1:3]
    is_last = module.layer_idx == tree_piece.last_layer
    empty = query.new_zeros if is_last else query.new_empty
    out = empty(1, n_rows, n_heads, value.shape[-1])
    for at, part in enumerate(tree_piece.placed):
        end = part.depth + part.rows.stop - part.rows.start
        keys[:, :, part.depth : end] = key[:, :, part.rows]
        values[:, :, part.depth : end] = value[:, :, part.rows]
        first, mask = tree_piece.mask(at, sliding_window, query)
        asking = part.read.to(query.device) if is_last else slice(None)
        attended = _attend(
            query[:, :, part.rows][:, :, asking],
            keys[:, :, first:end],
            values[:, :, first:end],
            mask=mask[asking],
            scaling=scaling,
            softcap=softcap,
        )
        out[:, part.rows][:, asking] = attended.transpose(1, 2)
    return out, None


AttentionInterface.register(_NAME, _attention)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    mask: torch.Tensor,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    n_groups = query.shape[1] // key.shape[1]
    if softcap is None and query.device.type == "cpu":
        # The CPU's fused kernel reads shared key heads in place; others would have to fall back.
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=n_groups > 1
        )
    if n_groups > 1:
        key = key.repeat_interleave(n_groups, dim=1)
        value = value.repeat_interleave(n_groups, dim=1)
    if softcap is None:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling
        )
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap) + mask
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype) @ value
