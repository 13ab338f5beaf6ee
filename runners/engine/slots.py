"""Keys and values of rows that are decoded together, and what one forward pass reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = ["Chunk", "KeyValues", "Prefix", "SlotPass", "token_bytes"]


class KeyValues:
    """Keys and values of rows of tokens, preallocated: nothing is copied when a row grows.

    Parameters
    ----------
    n_rows, capacity
        Rows, and most tokens in each.
    """

    def __init__(self, *, n_rows: int, capacity: int) -> None:
        self._shape = (n_rows, capacity)
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.sliding_windows: dict[int, int | None] = {}
        """By layer, as its attention has been called."""

    def layer(
        self, index: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, each (n_rows, n_kv_heads, capacity, head_size).

        They are made on the first call, with heads, type and device of what is to be written.

        Parameters
        ----------
        index
            Of the layer.
        key, value : (n_kv_heads, n_tokens, head_size)
            What the layer is about to write.
        """
        if index not in self._layers:
            self._layers[index] = (self._room(key), self._room(value))
        return self._layers[index]

    def written(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the keys and values of a layer that has written some."""
        return self._layers[index]

    def move(self, source: int, target: int, n_tokens: int) -> None:
        """Copy a row's first tokens to another row."""
        for pair in self._layers.values():
            for states in pair:
                states[target, :, :n_tokens] = states[source, :, :n_tokens]

    def _room(self, states: torch.Tensor) -> torch.Tensor:
        # Zeros, since what is hidden is still multiplied by 0, which must not be nan.
        n_rows, capacity = self._shape
        return states.new_zeros(n_rows, states.shape[0], capacity, states.shape[-1])


def token_bytes(model: Any) -> int:
    """Return what the keys and values of one token take, in all layers of a model."""
    config = model.config.get_text_config()
    n_heads = config.num_attention_heads
    n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    item_bytes = model.get_input_embeddings().weight.element_size()
    return int(2 * config.num_hidden_layers * n_kv_heads * head_size * item_bytes)


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """The beginning that some prompts share, read once."""

    tokens: Sequence[int]
    states: KeyValues
    """One row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive tokens of one row that are read in the same pass."""

    states: KeyValues
    row: int
    tokens: Sequence[int]
    past: int
    """Tokens of the row that were read before, its prefix not counted."""
    prefix: Prefix | None

    @property
    def first_position(self) -> int:
        """Place of the first token in its text."""
        return self.past + (len(self.prefix.tokens) if self.prefix else 0)


@dataclass(slots=True, kw_only=True)
class SlotPass:
    """What one forward pass reads: one token of each decoding row, then chunks of prompts.

    All is packed into one sequence without padding. Decoding row i is row i of ``states``.
    """

    states: KeyValues
    last_tokens: Sequence[int] = ()
    """Of each decoding row; they are read now."""
    pasts: Sequence[int] = ()
    """Tokens of each decoding row that were read before, its prefix not counted."""
    prefixes: Sequence[Prefix | None] = ()
    """Of each decoding row."""
    chunks: Sequence[Chunk] = ()
    last_layer: int | None = None
    """Index of the layer in which only the last token of a chunk attends; None for no such."""
    _made: dict[object, torch.Tensor] = field(default_factory=dict)
    _sharing: dict[Prefix | None, list[int]] | None = None

    @property
    def n_decoding(self) -> int:
        """Number of decoding rows."""
        return len(self.last_tokens)

    @property
    def first_positions(self) -> list[int]:
        """Place of each decoding row's token in its text."""
        pairs = zip(self.pasts, self.prefixes, strict=True)
        return [past + (len(prefix.tokens) if prefix else 0) for past, prefix in pairs]

    @property
    def tokens(self) -> list[int]:
        """All tokens, in the order of the pass."""
        return [*self.last_tokens, *(token for chunk in self.chunks for token in chunk.tokens)]

    @property
    def positions(self) -> list[int]:
        """Place of each token in its text."""
        places = self.first_positions
        for chunk in self.chunks:
            first = chunk.first_position
            places.extend(range(first, first + len(chunk.tokens)))
        return places

    def sharing(self) -> dict[Prefix | None, list[int]]:
        """Return the decoding rows of each prefix, or of none; worked out once for all layers."""
        if self._sharing is None:
            self._sharing = {}
            for row, prefix in enumerate(self.prefixes):
                self._sharing.setdefault(prefix, []).append(row)
        return self._sharing

    def indices(self, values: Sequence[int], device: torch.device) -> torch.Tensor:
        """Return integers as a tensor; each distinct list is sent to a device once in a pass."""
        key = (tuple(values), device)
        if key not in self._made:
            self._made[key] = torch.tensor(values, device=device)
        return self._made[key]

    def own_bias(
        self, window: int | None, dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        """Return what hides own tokens that a decoding row doesn't see: minus infinity there.

        Of shape (n_decoding, longest).
        """
        key = ("own", window, dtype, device)
        if key not in self._made:
            past = self.indices(self.pasts, device)[:, None]
            places = torch.arange(max(self.pasts) + 1, device=device)
            hidden = places > past
            if window is not None:
                hidden |= places <= past - window
            bias = torch.zeros_like(hidden, dtype=dtype)
            self._made[key] = bias.masked_fill_(hidden, -torch.inf)
        return self._made[key]
