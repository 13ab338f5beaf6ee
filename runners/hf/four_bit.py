"""What must not be done with a model in 4 bits that has run.

On CPUs with AVX512-BF16, bitsandbytes lays a 4-bit weight out anew when it is first used. Nothing
that reads such a weight afterwards expects it: a merged adapter, a saved file and a moved model are
wrong without a word, and so may the model itself be from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch

from evalcore.errors import ModelError

__all__ = ["guard_layers", "guard_merging"]

_REASON = (
    "a 4-bit model that has run can't be {}: bitsandbytes has laid its weights out anew, and the "
    "result would be silently wrong; merge in float32 before quantising, or load it again"
)


def guard_layers(model: Any) -> int:
    """Refuse to save, to move or to hand out the state of 4-bit layers that have run.

    Returns
    -------
    int
        How many layers are guarded; 0 for a model that has none.
    """
    import bitsandbytes as bnb

    layers = [layer for layer in model.modules() if isinstance(layer, bnb.nn.Linear4bit)]
    for layer in layers:
        _Guard(layer).put_on()
    return len(layers)


def guard_merging(layer: Any) -> None:
    """Refuse to merge an adapter into a 4-bit layer, run or not: merging belongs before rounding.

    Parameters
    ----------
    layer
        Of peft; left as it is unless what it wraps is a 4-bit layer.
    """
    if getattr(layer.get_base_layer(), "quant_state", None) is None:
        return

    def merge(*_arguments: object, **_options: object) -> NoReturn:
        raise ModelError(
            "an adapter can't be merged into a 4-bit layer: the sum would be rounded to 4 bits "
            "again, and be silently wrong once the layer has run; merge in float32 before "
            "quantising"
        )

    layer.merge = merge


class _Guard:
    """Watches one layer. Calls of the library itself, before the first use, pass."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._has_run = False
        self._apply = layer._apply

    def put_on(self) -> None:
        self._layer.register_forward_pre_hook(self._note)
        self._layer.register_state_dict_pre_hook(self._refuse_state)
        self._layer._apply = self._refuse_moving

    def _note(self, _layer: Any, _inputs: object) -> None:
        self._has_run = True

    def _refuse_state(self, *_arguments: object) -> None:
        if self._has_run:
            raise ModelError(_REASON.format("saved or asked for its state"))

    def _refuse_moving(
        self, change: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
    ) -> Any:
        if self._has_run:
            raise ModelError(_REASON.format("moved or cast"))
        return self._apply(change, recurse)
