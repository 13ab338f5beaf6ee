"""Whatever adapter a variant has, put on one resident base and taken off again without a trace.

LoRA stacks stay in the base's layers (:mod:`runners.hf.stack`). The other kinds are put on for as
long as they are used: modules that they replace go back to their places, the very same objects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evalcore.errors import ModelError
from evalcore.records import Adapter, Combination
from runners.adapter_kinds import open_adapter
from runners.adapters import AdapterFolder
from runners.hf.stack import LoraStack, known_warnings
from runners.hf.tensors import read_tensors
from runners.hf.virtual_tokens import VirtualTokens

__all__ = ["AdapterSwitch"]

_TakeOff = Callable[[], None]


class AdapterSwitch:
    """Puts a variant's adapters on its base.

    Parameters
    ----------
    model
        A base of transformers, quantised or not, as it was loaded.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._places = _places(model)
        self.stack = LoraStack(model)
        self._take_off: _TakeOff | None = None
        self._worn: Adapter | None = None
        self.n_virtual = 0
        """Virtual tokens in front of every text, which the window has to hold, too."""
        self.why_plain: str | None = None
        """Why the engine can't drive the base as it is now; None if nothing speaks against it."""

    def activate(
        self, adapters: tuple[Adapter, ...], combination: Combination | None = None
    ) -> None:
        """Make the model what its base is with exactly these adapters.

        Raises
        ------
        ModelError
            If an adapter's weights do not fit the base, or can't be combined like this.
        """
        if self._worn is not None and adapters == (self._worn,):
            return
        if self._take_off is not None:
            self._take_off()
        self._take_off, self._worn, self.n_virtual, self.why_plain = None, None, 0, None
        files = open_adapter(Path(adapters[0].path)) if len(adapters) == 1 else None
        if files is None or files.config["peft_type"] == "LORA":
            self.stack.activate(adapters, combination)
            return
        self.stack.activate(())
        try:
            self._take_off = self._put_on(files)
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"adapter {adapters[0].name!r} does not fit the base: "
                f"{' '.join(str(error).split()) or type(error).__name__} ({files.weight_file})"
            ) from None
        self._worn = adapters[0]

    def merge(self) -> None:
        """Add what is active to the base's weights for good, and leave the bare base.

        Raises
        ------
        ModelError
            For a weight that several modules share.
        """
        self.stack.merge()
        _restore(self._places)

    def _put_on(self, files: AdapterFolder) -> _TakeOff:
        tensors = read_tensors(files.weight_file)
        match files.config["peft_type"]:
            case "IA3":
                return self._wrapped(_put_on_ia3, files.folder, tensors)
            case "ADAPTION_PROMPT":
                take_off = self._wrapped(_put_on_adaption_prompt, files.folder, tensors)
                self.why_plain = "LLaMA-Adapter replaces the attention that the engine would"
                return take_off
            case _:
                virtual = VirtualTokens.read(self._model, files.config, tensors)
                take_off = virtual.put_on(self._model)
                self.n_virtual = virtual.n_tokens
                self.why_plain = f"{virtual.n_tokens} virtual tokens stand in front of every text"
                return take_off

    def _wrapped(
        self, wrap: Callable[..., None], folder: Path, tensors: dict[str, torch.Tensor]
    ) -> _TakeOff:
        """Let a function replace modules of the bare base; return what puts all back."""
        before = _places(self._model)
        trainable = [p for p in self._model.parameters() if p.requires_grad]

        def take_off() -> None:
            _restore(before)
            for parameter in trainable:
                parameter.requires_grad_(True)

        _restore(self._places)
        try:
            with known_warnings():
                wrap(self._model, folder, dict(tensors))
        except BaseException:
            take_off()
            raise
        self._model.eval()
        return take_off


def _put_on_ia3(model: Any, folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    from peft import IA3Config, inject_adapter_in_model
    from peft.tuners.ia3 import IA3Layer

    config = IA3Config.from_pretrained(str(folder))
    config.inference_mode = True
    inject_adapter_in_model(config, model, "ia3")
    layers = {name: part for name, part in model.named_modules() if isinstance(part, IA3Layer)}
    _fill({f"{name}.ia3_l": layer.ia3_l["ia3"] for name, layer in layers.items()}, tensors)
    for layer in layers.values():
        # On layers of bitsandbytes, peft's return float32, which attention can't take with others.
        layer.register_forward_hook(lambda _layer, inputs, output: output.to(inputs[0].dtype))


def _put_on_adaption_prompt(model: Any, folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    from peft import AdaptionPromptConfig
    from peft.tuners.adaption_prompt import AdaptionPromptModel

    config = AdaptionPromptConfig.from_pretrained(str(folder))
    AdaptionPromptModel(model, {"adapter": config}, "adapter")
    places = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.rpartition(".")[2].startswith("adaption_")
    }
    _fill(places, tensors)


def _fill(places: dict[str, nn.Parameter], tensors: dict[str, torch.Tensor]) -> None:
    odd = sorted(places.keys() ^ tensors.keys())
    if odd:
        raise ValueError(f"{odd[0]} is in only one of them")
    for name, place in places.items():
        if place.shape != tensors[name].shape:
            shapes = f"{list(place.shape)} in the base, {list(tensors[name].shape)}"
            raise ValueError(f"{name} is {shapes} in the adapter")
        place.data.copy_(tensors[name])


def _places(model: nn.Module) -> list[tuple[nn.Module, dict[str, nn.Module | None]]]:
    """Return each module's children by name."""
    return [(module, dict(module._modules)) for module in model.modules()]


def _restore(places: list[tuple[nn.Module, dict[str, nn.Module | None]]]) -> None:
    for module, children in places:
        module._modules.clear()
        module._modules.update(children)
