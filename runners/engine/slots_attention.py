"""Attention over slots, registered with transformers so that model code stays untouched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface

from runners.engine.architecture import check_arguments, replaced_attention
from runners.engine.last_layer import LastLayer
from runners.engine.output_layer import output_in_blocks
from runners.engine.slots import Chunk, Prefix, SlotPass

__all__ = ["forward_slots", "slot_attention"]

_NAME = "parity_slots"


@contextmanager
def slot_attention(model: Any) -> Iterator[None]:
    """Let a model's layers attend over slots; each forward pass then needs ``slot_pass=``."""
    with replaced_attention(model, _NAME):
        yield


def forward_slots(
    model: Any, step: SlotPass, *, keep: Sequence[int], last_layer: LastLayer
) -> torch.Tensor:
    """Run one pass.

    Parameters
    ----------
    model
        Under :func:`slot_attention`.
    step
        What is read.
    keep
        The tokens of the pass after which logits are wanted; at least one. All decoding rows are
        among them, or none, and of a chunk none but the last token.
    last_layer
        The model's.

    Returns
    -------
    torch.Tensor : (len(keep), n_vocabulary)
    """
    device = model.get_input_embeddings().weight.device
    tokens, read = step.tokens, torch.tensor(keep, device=device)
    step.last_layer = last_layer.index
    with last_layer.only(read, len(tokens)), output_in_blocks(model):
        logits: torch.Tensor = model(
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([step.positions], device=device),
            use_cache=False,
            logits_to_keep=read.to(last_layer.device),
            slot_pass=step,
        ).logits
    return logits[0]


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
        """Attend from one token of each decoding row, to a prefix by one product for its rows."""
        step, device = self._pass, query.device
        n = step.n_decoding
        keys, values = step.states.layer(self._index, key, value)
        rows = step.indices(range(n), device)
        pasts = step.indices(step.pasts, device)
        keys[rows, :, pasts] = key.transpose(0, 1)
        values[rows, :, pasts] = value.transpose(0, 1)
        longest = max(step.pasts) + 1
        own = query.permute(2, 0, 1, 3) @ keys[:n, :, :longest].transpose(-1, -2)
        scores = own.permute(1, 2, 0, 3)
        bias = step.own_bias(self._window, scores.dtype, device)
        positions = step.first_positions if self._window else [0] * n
        groups = step.sharing()
        if len(groups) == 1:
            (prefix,) = groups
            shared, weights = self._weigh(prefix, query, scores, bias=bias, positions=positions)
        else:
            weights = torch.empty_like(scores)
            shared = query.new_zeros(*query.shape[:-1], value.shape[-1])
            for prefix, members in groups.items():
                at = step.indices(members, device)
                part, weights[:, :, at] = self._weigh(
                    prefix,
                    query[:, :, at],
                    scores[:, :, at],
                    bias=bias[at],
                    positions=[positions[row] for row in members],
                )
                if part is not None:
                    shared[:, :, at] = part
        out = weights.permute(2, 0, 1, 3) @ values[:n, :, :longest]
        return out if shared is None else out + shared.permute(2, 0, 1, 3)

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
        scores = _by_head(query, keys[chunk.row, :, :end].transpose(-1, -2))
        first = chunk.past + n_mute
        bias = _bias_ahead(end - first, first, self._window, like=scores)
        positions = range(chunk.first_position + n_mute, chunk.first_position + n_tokens)
        shared, weights = self._weigh(chunk.prefix, query, scores, bias=bias, positions=positions)
        out = _by_head(weights, values[chunk.row, :, :end])
        out = (out if shared is None else out + shared).permute(2, 0, 1, 3)
        return torch.cat([out.new_zeros(n_mute, *out.shape[1:]), out]) if n_mute else out

    def _weigh(
        self,
        prefix: Prefix | None,
        query: torch.Tensor,
        scores: torch.Tensor,
        *,
        bias: torch.Tensor,
        positions: Sequence[int],
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Make weights of scores, a prefix's keys among them.

        Parameters
        ----------
        query : (n_kv_heads, n_repeats, n_queries, head_size)
        scores : (n_kv_heads, n_repeats, n_queries, n_keys)
            Of the keys that are not the prefix's.
        bias : (n_queries, n_keys)
            Minus infinity at what is not seen.
        positions : (n_queries,)
            Of the queries in their texts; looked at only with a sliding window.

        Returns
        -------
        torch.Tensor or None, torch.Tensor
            What comes from the prefix, and the weights of the other keys.
        """
        scores = self._capped(scores) + bias
        if prefix is None:
            return None, torch.softmax(scores, -1, dtype=torch.float32).to(query.dtype)
        keys, values = prefix.states.written(self._index)
        before = self._capped(_by_head(query, keys[0].transpose(-1, -2)))
        if self._window is not None and max(positions) >= self._window:
            places = torch.arange(len(prefix.tokens), device=query.device)
            here = self._pass.indices(positions, query.device)[:, None]
            before = before.masked_fill(places <= here - self._window, -torch.inf)
        weights = torch.softmax(torch.cat([before, scores], -1), -1, dtype=torch.float32)
        weights = weights.to(query.dtype)
        n_shared = len(prefix.tokens)
        return _by_head(weights[..., :n_shared], values[0]), weights[..., n_shared:]

    def _capped(self, scores: torch.Tensor) -> torch.Tensor:
        if self._softcap is None:
            return scores
        return torch.tanh(scores / self._softcap) * self._softcap


def _by_head(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Multiply (n_kv, n_repeats, n, k) by (n_kv, k, m), by one product for each head of keys."""
    product = left.flatten(1, 2) @ right
    return product.reshape(*left.shape[:3], right.shape[-1])


def _bias_ahead(
    n_queries: int, past: int, window: int | None, *, like: torch.Tensor
) -> torch.Tensor:
    """Return what hides the keys that consecutive queries don't see: minus infinity there.

    Of shape (n_queries, past + n_queries).
    """
    queries = torch.arange(past, past + n_queries, device=like.device)[:, None]
    keys = torch.arange(past + n_queries, device=like.device)
    hidden = keys > queries
    if window is not None:
        hidden |= keys <= queries - window
    return torch.zeros_like(hidden, dtype=like.dtype).masked_fill_(hidden, -torch.inf)
