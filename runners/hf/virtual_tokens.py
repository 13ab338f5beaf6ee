"""Virtual tokens in front of every text: prefix tuning and prompt tuning.

Both come down to keys and values that are there before the first token. Prefix tuning (Li & Liang
2021) has them in its file; those of prompt tuning (Lester et al. 2021) are what the base makes of
its virtual tokens, which no text that follows can change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

__all__ = ["VirtualTokens"]


@dataclass(frozen=True, slots=True)
class VirtualTokens:
    """Keys and values by layer, each of shape (1, n_heads, n_tokens, head_size)."""

    states: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    n_tokens: int

    @classmethod
    def read(
        cls, model: Any, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
    ) -> VirtualTokens:
        """Make them for a base of which nothing is changed at the moment.

        Parameters
        ----------
        model
            The base.
        config
            The adapter's ``adapter_config.json``.
        tensors
            Of its file: ``prompt_embeddings``, of shape (n_tokens, hidden_size) for prompt tuning
            and (n_tokens, 2 · n_layers · n_heads · head_size) for prefix tuning.

        Raises
        ------
        ValueError
            If they are of another shape than the base's.
        """
        if list(tensors) != ["prompt_embeddings"]:
            raise ValueError(f"it holds {', '.join(sorted(tensors))} instead of prompt_embeddings")
        weight = model.get_input_embeddings().weight
        values = tensors["prompt_embeddings"].to(weight.device, model.dtype)
        states = (
            _of_prefix(values, config)
            if config["peft_type"] == "PREFIX_TUNING"
            else _of_prompt(model, values)
        )
        _check(model, states)
        return cls(states, len(values))

    def put_on(self, model: Any) -> Callable[[], None]:
        """Let every text that a model reads begin with them; return what ends that."""
        handle = model.register_forward_pre_hook(self._before, with_kwargs=True)
        remove: Callable[[], None] = handle.remove
        return remove

    def _before(
        self, model: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fill an empty cache, and count the tokens in masks and positions of all passes."""
        input_ids = options["input_ids"]
        cache = options.get("past_key_values")
        if cache is None:
            cache = DynamicCache(config=model.config)
        if cache.get_seq_length() == 0:
            for layer, (keys, values) in enumerate(self.states):
                n_rows = len(input_ids)
                cache.update(
                    keys.expand(n_rows, -1, -1, -1), values.expand(n_rows, -1, -1, -1), layer
                )
        changed = options | {"past_key_values": cache}
        mask, positions = options.get("attention_mask"), options.get("position_ids")
        if mask is not None:
            changed["attention_mask"] = torch.nn.functional.pad(mask, (self.n_tokens, 0), value=1)
        if positions is not None:
            changed["position_ids"] = positions + self.n_tokens
        return arguments, changed


def _of_prefix(
    values: torch.Tensor, config: Mapping[str, Any]
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    n_layers, n_heads = config["num_layers"], config["num_attention_heads"]
    head_size = config["token_dim"] // n_heads
    by_layer = values.view(len(values), n_layers, 2, n_heads, head_size).permute(1, 2, 3, 0, 4)
    return tuple((pair[0][None], pair[1][None]) for pair in by_layer)


@torch.inference_mode()
def _of_prompt(model: Any, values: torch.Tensor) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    n_hidden = model.get_input_embeddings().weight.shape[1]
    if values.shape[1:] != (n_hidden,):
        raise ValueError(f"its virtual tokens have size {values.shape[1]}, the base's {n_hidden}")
    cache = model(inputs_embeds=values[None], use_cache=True).past_key_values
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def _check(model: Any, states: tuple[tuple[torch.Tensor, torch.Tensor], ...]) -> None:
    config = model.config.get_text_config()
    n_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or (
        config.hidden_size // config.num_attention_heads
    )
    wanted = (config.num_hidden_layers, n_heads, head_size)
    found = (len(states), states[0][0].shape[1], states[0][0].shape[3])
    if found != wanted:
        names = "layers x heads x head size"
        raise ValueError(f"its {names} are {_by(found)}, the base's {_by(wanted)}")


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
