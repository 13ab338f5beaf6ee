"""The last layer's feed-forward part, computed only at rows whose prediction is read.

Beyond attention a layer works on each row alone, and nothing comes after the last one but the
output: what it makes of other rows is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["LastLayer"]


class LastLayer:
    """A model's last layer, which can be told what is read of it.

    Parameters
    ----------
    model
        Of transformers. Where its last layer isn't found, everything is computed.
    """

    def __init__(self, model: Any) -> None:
        self.index: int = model.config.get_text_config().num_hidden_layers - 1
        self.parts = _feed_forward(model, self.index)
        """Modules that are told."""
        head = model.get_output_embeddings() or model.get_input_embeddings()
        self.device: torch.device = head.weight.device
        """Where its results are, on a model that is spread over several devices."""

    @contextmanager
    def only(self, rows: torch.Tensor, n_rows: int) -> Iterator[None]:
        """Compute these rows of the feed-forward part; what it returns is zero elsewhere.

        Parameters
        ----------
        rows : (n_read,)
            Distinct, at least one.
        n_rows
            Rows of the forward pass, which has one sequence.
        """

        def gather(_part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return inputs[0].index_select(-2, rows.to(inputs[0].device)), *inputs[1:]

        def scatter(_part: nn.Module, _inputs: object, output: Any) -> Any:
            several = isinstance(output, tuple)
            read = output[0] if several else output
            whole = read.new_zeros(*read.shape[:-2], n_rows, read.shape[-1])
            whole.index_copy_(-2, rows.to(read.device), read)
            return (whole, *output[1:]) if several else whole

        with ExitStack() as hooks:
            for part in self.parts if len(rows) < n_rows else ():
                hooks.callback(part.register_forward_pre_hook(gather).remove)
                hooks.callback(part.register_forward_hook(scatter).remove)
            yield


def _feed_forward(model: Any, index: int) -> list[nn.Module]:
    """Return what has weight matrices beside the attention of a layer."""
    names = [
        name
        for name, module in model.named_modules()
        if getattr(module, "layer_idx", None) == index
    ]
    if not names:
        return []
    attention = max(names, key=len)
    layer = model.get_submodule(attention.rpartition(".")[0])
    own = attention.rpartition(".")[2]
    return [
        part
        for name, part in layer.named_children()
        if name != own and any(weight.ndim > 1 for weight in part.parameters())
    ]
