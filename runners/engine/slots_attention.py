"""Attention over slots, registered with transformers so that model code stays untouched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface

from runners.engine.architecture import check_arguments, replaced_attention
from runners.engine.slots import Chunk, Prefix, SlotPass

__all__ = ["slot_attention"]

_NAME = "parity_slots"
_LOWEST = torch.finfo(torch.float32).min


@contextmanager
def slot_attention(model: Any) -> Iterator[None]:
    """Let a model's layers attend over slots; each forward pass then needs ``slot_pass=``."""
    with replaced_attention(model, _NAME):
        yield


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,
    *,
    slot_pass: SlotPass,
    scaling: float,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Write the pass's keys and values into the slots, and attend.

    Parameters
    ----------
    module
        The attention layer.
    query : (1, n_heads, n_tokens, head_size)
    key, value : (1, n_kv_heads, n_tokens, head_size)

    Returns
    -------
    torch.Tensor : (1, n_tokens, n_heads, value_size)
    """
    check_arguments(others, dropout)
    slot_pass.states.sliding_windows[module.layer_idx] = sliding_window
    layer = _Layer(module.layer_idx, slot_pass, window=sliding_window, softcap=softcap)
    out = layer.attend(query[0] * scaling, key[0], value[0])
    return out.flatten(1, 2)[None], None


AttentionInterface.register(_NAME, _attention)


class _Layer:
    """One layer's attention in one pass."""

    def __init__(
        self, index: int, slot_pass: SlotPass, *, window: int | None, softcap: float | None
    ) -> None:
        self._index = index
        self._pass = slot_pass
        self._window = window
        self._softcap = softcap

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return what each token takes from the others: (n_tokens, n_kv_heads, n_repeats, size)."""
        n_kv = key.shape[0]
        query = query.reshape(n_kv, -1, *query.shape[1:])
        n = self._pass.n_decoding
        parts = []
        if n:
            parts.append(self._decode(query[:, :, :n], key[:, :n], value[:, :n]))
        for chunk in self._pass.chunks:
            here = slice(n, n + len(chunk.tokens))
            parts.append(self._read(chunk, query[:, :, here], key[:, here], value[:, here]))
            n = here.stop
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _decode(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attend from one token of each decoding row, prefixes by one product for all rows."""
        step, device = self._pass, query.device
        n = step.n_decoding
        keys, values = step.states.layer(self._index, key, value)
        rows = step.indices(range(n), device)
        pasts = step.indices(step.pasts, device)
        keys[rows, :, pasts] = key.transpose(0, 1)
        values[rows, :, pasts] = value.transpose(0, 1)
        longest = max(step.pasts) + 1
        by_row = query.permute(2, 0, 1, 3)
        hidden = step.hidden_own(self._window, device)[:, None, None]
        out, mass = self._part(
            by_row, keys[:n, :, :longest], values[:n, :, :longest], hidden=hidden
        )
        for prefix, members in step.sharing().items():
            everyone = len(members) == n
            chosen = step.indices(members, device)
            some = query if everyone else query[:, :, chosen]
            positions = [step.first_positions[row] for row in members] if self._window else ()
            shared = self._prefix_part(prefix, some, positions)
            if everyone:
                out = _merge((out, mass), shared)
            else:
                out[chosen] = _merge((out[chosen], mass[chosen]), shared)
        return out

    def _read(
        self, chunk: Chunk, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> torch.Tensor:
        """Attend from consecutive tokens of one row to its prefix and to themselves."""
        keys, values = chunk.states.layer(self._index, key, value)
        n_tokens, end = key.shape[1], chunk.past + key.shape[1]
        keys[chunk.row, :, chunk.past : end] = key
        values[chunk.row, :, chunk.past : end] = value
        n_mute = n_tokens - 1 if self._index == self._pass.last_layer else 0
        query = query[:, :, n_mute:]
        hidden = _hidden_ahead(n_tokens - n_mute, chunk.past + n_mute, self._window, query.device)
        own = self._flat_part(query, keys[chunk.row, :, :end], values[chunk.row, :, :end], hidden)
        out = own[0]
        if chunk.prefix is not None:
            positions = range(chunk.first_position + n_mute, chunk.first_position + n_tokens)
            out = _merge(own, self._prefix_part(chunk.prefix, query, positions))
        return torch.cat([out.new_zeros(n_mute, *out.shape[1:]), out]) if n_mute else out

    def _prefix_part(
        self, prefix: Prefix, query: torch.Tensor, positions: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = prefix.states.written(self._index)
        hidden = None
        if self._window is not None and max(positions) >= self._window:
            places = torch.arange(len(prefix.tokens), device=query.device)
            positions_ = self._pass.indices(positions, query.device)
            hidden = places <= positions_[:, None] - self._window
        return self._flat_part(query, keys[0], values[0], hidden)

    def _flat_part(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        hidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend from (n_kv, n_repeats, n_queries, size), by one product for each head of keys.

        ``hidden`` is (n_queries, n_keys). Results have the queries first.
        """
        repeats = query.shape[1]
        if hidden is not None:
            hidden = hidden.repeat(repeats, 1)
        out, mass = self._part(query.flatten(1, 2), keys, values, hidden=hidden)
        split = (out.shape[0], repeats, -1)
        by_query = [
            part.reshape(*split, part.shape[-1]).permute(2, 0, 1, 3) for part in (out, mass)
        ]
        return by_query[0], by_query[1]

    def _part(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        *,
        hidden: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend to some of the keys; return the result and the log of the sum of exponentials."""
        scores = torch.matmul(query, keys.transpose(-1, -2)).float()
        if self._softcap is not None:
            scores = torch.tanh(scores / self._softcap) * self._softcap
        if hidden is not None:
            # The lowest number rather than -inf: where all is hidden, nothing becomes nan, and the
            # part's weight is 0.
            scores = scores.masked_fill_(hidden, _LOWEST)
        highest = scores.amax(-1, keepdim=True)
        weights = scores.sub_(highest).exp_()
        total = weights.sum(-1, keepdim=True)
        out = torch.matmul(weights.to(values.dtype), values) / total.to(values.dtype)
        return out, highest + total.log()


def _merge(
    own: tuple[torch.Tensor, torch.Tensor], shared: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Put attention over two sets of keys together, each weighted by its share of the sum."""
    share = torch.sigmoid(shared[1] - own[1]).to(own[0].dtype)
    return torch.lerp(own[0], shared[0], share)


def _hidden_ahead(
    n_queries: int, past: int, window: int | None, device: torch.device
) -> torch.Tensor:
    """Say which keys consecutive queries must not see: (n_queries, past + n_queries)."""
    queries = torch.arange(past, past + n_queries, device=device)[:, None]
    keys = torch.arange(past + n_queries, device=device)
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return hidden
