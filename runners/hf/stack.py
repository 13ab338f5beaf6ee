"""LoRA stacks on one resident base: W + Σ weight·scaling·B·A, switched in place.

Nothing is ever merged into the base: that would round it, and on a quantised base break it. peft
takes long to import, which a base without adapters needn't wait for.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from evalcore.errors import ModelError
from evalcore.records import Adapter
from runners.adapters import read_adapter
from runners.hf.four_bit import guard_merging

if TYPE_CHECKING:
    from peft import LoraConfig

__all__ = ["LoraStack", "read_tensors"]


class LoraStack:
    """The adapters of a base model, of which any weighted selection can be active.

    Parameters
    ----------
    model
        A base of transformers, quantised or not. Its layers are wrapped in place; with no adapter
        active it computes exactly what it did before.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._numbers = itertools.count()
        self._names: dict[str, str] = {}
        self._scalings: dict[str, dict[str, float]] = {}
        self._active: tuple[Adapter, ...] | None = ()

    def activate(self, adapters: tuple[Adapter, ...]) -> None:
        """Make the model W + Σ weight·scaling·B·A over exactly these adapters.

        Each is read from disk the first time that it is asked for.

        Raises
        ------
        ModelError
            If an adapter's weights do not fit the base.
        """
        if adapters == self._active:
            return
        self._active = None
        for adapter in adapters:
            if adapter.sha256 not in self._names:
                self._read(adapter)
        weights = {self._names[adapter.sha256]: adapter.weight for adapter in adapters}
        for module_name, layer in self._layers():
            layer.enable_adapters(bool(weights))
            if not weights:
                continue
            layer.set_adapter(list(weights), inference_mode=True)
            for name, weight in weights.items():
                if name in layer.scaling:
                    layer.scaling[name] = weight * self._scalings[name][module_name]
        self._active = adapters

    def _read(self, adapter: Adapter) -> None:
        """Put an adapter's matrices into the model, inactive."""
        from peft import inject_adapter_in_model
        from peft.tuners.tuners_utils import cast_adapter_dtype

        name = f"adapter{next(self._numbers)}"
        files = read_adapter(Path(adapter.path))
        with _known_warnings():
            try:
                inject_adapter_in_model(_plain_config(files.folder), self._model, name)
                cast_adapter_dtype(self._model, name)
                self._fill(name, read_tensors(files.weight_file))
            except (ValueError, RuntimeError, KeyError) as error:
                raise ModelError(
                    f"adapter {adapter.name!r} does not fit the base: "
                    f"{' '.join(str(error).split())} ({files.weight_file})"
                ) from None
        for _, layer in self._layers():
            guard_merging(layer)
        self._scalings[name] = {
            module_name: layer.scaling[name]
            for module_name, layer in self._layers()
            if name in layer.scaling
        }
        self._names[adapter.sha256] = name

    def _fill(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy each matrix to its place.

        peft's own ``set_peft_model_state_dict`` would ask the model for its state, on which a 4-bit
        layer that has run is packed back, with a loss.
        """
        places = dict(self._matrices(name))
        odd = sorted(places.keys() ^ tensors.keys())
        if odd:
            raise ValueError(f"{odd[0]} is in only one of them")
        for key, place in places.items():
            if place.shape != tensors[key].shape:
                shapes = f"{list(place.shape)} in the base, {list(tensors[key].shape)}"
                raise ValueError(f"{key} is {shapes} in the adapter")
            place.data.copy_(tensors[key])

    def _matrices(self, name: str) -> Iterator[tuple[str, torch.nn.Parameter]]:
        for module_name, layer in self._layers():
            for kind in ("lora_A", "lora_B"):
                if name in getattr(layer, kind):
                    yield f"{module_name}.{kind}.weight", getattr(layer, kind)[name].weight
            for kind in ("lora_embedding_A", "lora_embedding_B"):
                if name in getattr(layer, kind):
                    yield f"{module_name}.{kind}", getattr(layer, kind)[name]

    def _layers(self) -> Iterator[tuple[str, Any]]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for module_name, module in self._model.named_modules():
            if isinstance(module, BaseTunerLayer):
                yield module_name, module


def _plain_config(folder: Path) -> LoraConfig:
    """Read a configuration for inference; what an adapter's training began from doesn't matter."""
    from peft import LoraConfig

    config = LoraConfig.from_pretrained(str(folder))
    config.init_lora_weights = True
    config.inference_mode = True
    config.lora_dropout = 0.0
    return config


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read matrices by the name of their place in the model."""
    tensors = (
        load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, map_location="cpu", weights_only=True)
    )
    return {key.removeprefix("base_model.model."): tensor for key, tensor in tensors.items()}


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silence what peft says of merging, which is never done here, and of several adapters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        yield
