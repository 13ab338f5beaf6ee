"""What an architecture has to allow for its attention to be computed here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from evalcore.errors import ModelError

__all__ = ["check_arguments", "replaced_attention", "why_unknown", "window_mismatch"]

_LAYERS = frozenset({"full_attention", "sliding_attention"})
_ROTATIONS_OF_LENGTH = frozenset({"longrope"})
"""A dynamic one changes only beyond the positions that make up a model's window."""
_HARMLESS = frozenset(
    {"position_ids", "use_cache", "cache_position", "is_causal", "output_attentions"}
    | {"output_router_logits"}
    | {"output_hidden_states", "return_dict", "past_key_values", "position_embeddings"}
)


@contextmanager
def replaced_attention(model: Any, name: str) -> Iterator[None]:
    """Let a model's layers attend by a function that is registered under this name."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def check_arguments(others: Mapping[str, object], dropout: float) -> None:
    """Refuse what a layer hands to its attention that would change the result unheeded.

    Raises
    ------
    ModelError
        Naming it.
    """
    odd = sorted(name for name, v in others.items() if name not in _HARMLESS and v is not None)
    if odd or dropout:
        raise ModelError(f"its attention takes {', '.join(odd) or 'dropout'}")


def why_unknown(model: Any) -> str | None:
    """Say what a model's configuration or code has that is not known here; None for nothing."""
    config = model.config.get_text_config()
    parameters = inspect.signature(model.forward).parameters
    odd_layers = sorted(set(getattr(config, "layer_types", None) or ()) - _LAYERS)
    odd_rotations = sorted(set(_rotations(config)) & _ROTATIONS_OF_LENGTH)
    reasons = {
        "its architecture takes no attention from outside": not getattr(
            model, "_supports_attention_backend", False
        ),
        "its tokens can't be given positions (as with ALiBi)": "position_ids" not in parameters,
        "it computes logits everywhere": "logits_to_keep" not in parameters,
        f"it has layers of type {', '.join(odd_layers)}": bool(odd_layers),
        f"its rotary embedding ({', '.join(odd_rotations)}) depends on a text's length": bool(
            odd_rotations
        ),
        "it attends in chunks": getattr(config, "attention_chunk_size", None) is not None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def window_mismatch(config: Any, seen: Mapping[int, int | None]) -> str | None:
    """Compare sliding windows as configured with those that attention was told.

    A trial is too short to show them in its results.
    """
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None) or ["sliding_attention"] * len(seen)
    for layer, kind in enumerate(types):
        wanted = window if kind == "sliding_attention" else None
        if seen.get(layer) != wanted:
            return f"layer {layer} has a sliding window of {wanted}, not told to its attention"
    return None


def _rotations(config: Any) -> Iterator[str]:
    """Yield the kinds of rotary embedding, which differ by type of layer in some models."""
    found = getattr(config, "rope_parameters", None) or {}
    for part in [found, *(value for value in found.values() if isinstance(value, dict))]:
        if isinstance(part.get("rope_type"), str):
            yield part["rope_type"]
