"""Whether slots compute what a model computes by itself: looked up, then tried."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from evalcore.errors import ModelError
from runners.engine.architecture import why_unknown, window_mismatch
from runners.engine.last_layer import LastLayer
from runners.engine.output_layer import output_in_blocks
from runners.engine.slots import Chunk, KeyValues, Prefix, SlotPass
from runners.engine.slots_attention import slot_attention

__all__ = ["forward_slots", "why_not"]

_PREFIX, _OWN, _OTHER = 5, 3, 7
_EXACT, _ROUNDED = 1e-3, 0.1
"""Shares of the largest logit, in float32 and in what is rounded more coarsely."""


def forward_slots(
    model: Any, step: SlotPass, *, keep: Sequence[int], last_layer: LastLayer
) -> torch.Tensor:
    """Run one pass.

    Parameters
    ----------
    model
        Under :func:`runners.engine.slots_attention.slot_attention`.
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
            logits_to_keep=read,
            slot_pass=step,
        ).logits
    return logits[0]


@torch.inference_mode()
def why_not(model: Any) -> str | None:
    """Say why a model can't be decoded in slots, or None if it can.

    What a short trial would not show is looked up in the configuration: position encodings that
    change with the longest text in a batch, and attention of unknown kinds. Then a prompt is read
    with a shared prefix, packed beside another one, and continued by a token; the logits after the
    last two tokens must be those of plain forward passes.
    """
    return why_unknown(model) or _trial(model)


def _trial(model: Any) -> str | None:
    n_vocabulary = model.get_input_embeddings().weight.shape[0]
    some = torch.randint(n_vocabulary, (_PREFIX + _OWN + _OTHER,), generator=_generator()).tolist()
    one, other = some[: _PREFIX + _OWN], some[_PREFIX + _OWN :]
    device = model.get_input_embeddings().weight.device
    wanted = [
        model(input_ids=torch.tensor([text], device=device), use_cache=False).logits[0, -2:].float()
        for text in (one, other)
    ]
    try:
        with slot_attention(model):
            states = KeyValues(n_rows=2, capacity=_OTHER)
            found = _through_slots(model, states, one, other)
    except (ModelError, TypeError) as error:
        return str(error).splitlines()[0]
    largest = max(float(logits.abs().max()) for logits in wanted)
    is_exact = model.dtype == torch.float32 and not getattr(model, "quantization_method", None)
    tolerance = _EXACT if is_exact else _ROUNDED
    off = max(float((a - b).abs().max()) for a, b in zip(wanted, found, strict=True))
    if not off <= tolerance * largest:
        return f"its logits would be off by {off:.2g}"
    return window_mismatch(model.config.get_text_config(), states.sliding_windows)


def _through_slots(
    model: Any, states: KeyValues, one: list[int], other: list[int]
) -> list[torch.Tensor]:
    """Return the logits after the last two tokens of both texts, (2, n_vocabulary) each."""
    read = partial(forward_slots, model, last_layer=LastLayer(model))
    shared = KeyValues(n_rows=1, capacity=_PREFIX)
    prefix = Prefix(one[:_PREFIX], shared)
    beginning = [Chunk(states=shared, row=0, tokens=prefix.tokens, past=0, prefix=None)]
    read(SlotPass(states=states, chunks=beginning), keep=[0])
    chunks = [
        Chunk(states=states, row=0, tokens=one[_PREFIX:-1], past=0, prefix=prefix),
        Chunk(states=states, row=1, tokens=other[:-1], past=0, prefix=None),
    ]
    before = read(SlotPass(states=states, chunks=chunks), keep=[_OWN - 2, _OWN + _OTHER - 3])
    step = SlotPass(
        states=states,
        last_tokens=[one[-1], other[-1]],
        pasts=[_OWN - 1, _OTHER - 1],
        prefixes=[prefix, None],
    )
    last = read(step, keep=[0, 1])
    return list(torch.stack([before, last], dim=1).float())


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
