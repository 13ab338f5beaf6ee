"""LoRA stacks on one resident base: W + Σ weight·scaling·B·A, switched in place.

Another way to combine adapters makes one new adapter of them, which is switched like any other.
Nothing is merged into a base that is run: that would round it, and on a quantised base break it;
long passes may add adapters to a copy of a layer's weights (:mod:`runners.hf.long_passes`), and a
variant whose adapters are merged has a base of its own (:mod:`runners.hf.merging`). peft takes long
to import, which a base without adapters needn't wait for.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evalcore.errors import ModelError
from evalcore.hashing import content_hash
from evalcore.records import Adapter, Combination
from runners.adapters import read_adapter
from runners.hf.combining import Update, combined
from runners.hf.four_bit import guard_merging
from runners.hf.long_passes import merge_long_passes
from runners.hf.tensors import read_tensors
from runners.hf.updates import read_update

if TYPE_CHECKING:
    from peft import LoraConfig

__all__ = ["LoraStack", "known_warnings"]

_Selection = tuple[tuple[Adapter, ...], Combination | None]
_PLACE = re.compile(r"\.weight$|(?<=\.)lora_(embedding_)?(?=[AB](\.weight)?$)")
"""What is left out of a tensor's name; its place is then ``…q_proj.A`` or ``…embed_tokens.A``."""


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
        self._active: _Selection | None = ((), None)

    def activate(
        self, adapters: tuple[Adapter, ...], combination: Combination | None = None
    ) -> None:
        """Make the model W + Σ weight·scaling·B·A over exactly these adapters, or what they make.

        Each is read from disk the first time that it is asked for.

        Raises
        ------
        ModelError
            If an adapter's weights do not fit the base, or can't be combined like this.
        """
        if (adapters, combination) == self._active:
            return
        self._active = None
        weights = (
            {self._name_of(adapter): adapter.weight for adapter in adapters}
            if combination is None
            else {self._name_of_combined(adapters, combination): 1.0}
        )
        for module_name, layer in self._layers():
            layer.enable_adapters(bool(weights))
            if not weights:
                continue
            layer.set_adapter(list(weights), inference_mode=True)
            for name, weight in weights.items():
                if name in layer.scaling:
                    layer.scaling[name] = weight * self._scalings[name][module_name]
        self._active = (adapters, combination)

    def merge(self) -> None:
        """Add what is active to the weights that it is wrapped around, for good.

        Raises
        ------
        ModelError
            For a weight that other modules share: they would be changed, too.
        """
        users = Counter(
            id(parameter)
            for module in self._model.modules()
            for parameter in module.parameters(recurse=False)
        )
        for module_name, layer in self._layers():
            if not set(layer.active_adapters) & set(layer.scaling):
                continue
            if users[id(layer.get_base_layer().weight)] > 1:
                raise ModelError(
                    f"adapters can't be merged: {module_name} shares its weight with another module"
                )
            layer.merge()

    def _name_of(self, adapter: Adapter) -> str:
        """Return the name under which an adapter is in the model, reading it the first time."""
        if adapter.sha256 not in self._names:
            files = read_adapter(Path(adapter.path))
            tensors = {_PLACE.sub("", k): t for k, t in read_tensors(files.weight_file).items()}
            what = f"adapter {adapter.name!r} does not fit the base"
            self._names[adapter.sha256] = self._inject(
                _plain_config(files.folder), tensors, what=what, where=files.weight_file
            )
        return self._names[adapter.sha256]

    def _name_of_combined(self, adapters: tuple[Adapter, ...], how: Combination) -> str:
        key = content_hash([how.words, *([adapter.sha256, adapter.weight] for adapter in adapters)])
        if key not in self._names:
            update = combined([read_update(adapter) for adapter in adapters], how)
            what = f"adapters combined by {how.words} do not fit the base"
            self._names[key] = self._inject(
                _config_of(update), _matrices_of(update), what=what, where=adapters[0].path
            )
        return self._names[key]

    def _inject(
        self,
        config: LoraConfig,
        tensors: Mapping[str, torch.Tensor],
        *,
        what: str,
        where: str | Path,
    ) -> str:
        """Put an adapter's matrices into the model, inactive, and return its name there."""
        from peft import inject_adapter_in_model
        from peft.tuners.tuners_utils import cast_adapter_dtype

        name = f"adapter{next(self._numbers)}"
        with known_warnings():
            try:
                inject_adapter_in_model(config, self._model, name)
                cast_adapter_dtype(self._model, name)
                self._fill(name, tensors)
            except (ValueError, RuntimeError, KeyError) as error:
                raise ModelError(f"{what}: {' '.join(str(error).split())} ({where})") from None
        for _, layer in self._layers():
            guard_merging(layer)
            merge_long_passes(layer)
        self._scalings[name] = {
            module_name: layer.scaling[name]
            for module_name, layer in self._layers()
            if name in layer.scaling
        }
        return name

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
            for kind in ("A", "B"):
                linear, embedded = (getattr(layer, f"lora_{of}{kind}") for of in ("", "embedding_"))
                if name in linear:
                    yield f"{module_name}.{kind}", linear[name].weight
                if name in embedded:
                    yield f"{module_name}.{kind}", embedded[name]

    def _layers(self) -> Iterator[tuple[str, Any]]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        for module_name, module in self._model.named_modules():
            if isinstance(module, BaseTunerLayer):
                yield module_name, module


def _config_of(update: Update) -> LoraConfig:
    """Describe an update with a scaling of 1 whose rank may differ from layer to layer."""
    from peft import LoraConfig

    ranks = {module: len(factors.down) for module, factors in update.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    unusual = {re.escape(module): rank for module, rank in ranks.items() if rank != usual}
    return LoraConfig(
        r=usual,
        lora_alpha=usual,
        target_modules=list(update),
        rank_pattern=unusual,
        alpha_pattern=unusual,
        inference_mode=True,
    )


def _matrices_of(update: Update) -> dict[str, torch.Tensor]:
    up = {f"{module}.B": factors.up for module, factors in update.items()}
    return up | {f"{module}.A": factors.down for module, factors in update.items()}


def _plain_config(folder: Path) -> LoraConfig:
    """Read a configuration for inference; what an adapter's training began from doesn't matter."""
    from peft import LoraConfig

    config = LoraConfig.from_pretrained(str(folder))
    config.init_lora_weights = True
    config.inference_mode = True
    config.lora_dropout = 0.0
    return config


@contextmanager
def known_warnings() -> Iterator[None]:
    """Silence what peft says of merging, which is never done here, and of several adapters."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config` attribute")
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        yield
