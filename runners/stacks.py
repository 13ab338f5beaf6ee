"""Stacks as they are written on the command line: a base, then its adapters one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.modelstring import default_name, parse_model

__all__ = ["parse_stack"]

_MARK = "+lora:"


def parse_stack(
    model: str, adapters: Sequence[str] = ()
) -> tuple[ModelSpec, Callable[[tuple[Adapter, ...]], str]]:
    """Read a stack.

    Parameters
    ----------
    model
        A model string; adapters in it come first in the stack.
    adapters
        Such as ``+lora:DIR*0.5`` or ``NAME=+lora:zoo:tiny-math``.

    Returns
    -------
    ModelSpec
        The whole stack, unresolved.
    callable
        Names the variant with some of the adapters, as its model string would: a base that was
        given a name keeps it.

    Raises
    ------
    ModelError
        For what can't be read, a stack without adapters, or one twice in it.
    """
    base = parse_model(model)
    names = [""] * len(base.adapters)
    text = model
    for adapter in adapters:
        name, mark, where = adapter.partition(_MARK)
        if not mark or (name and not (name.endswith("=") and name[:-1].strip())):
            raise ModelError(f"an adapter must be [NAME=]{_MARK}FOLDER[*WEIGHT]; got {adapter!r}")
        names.append(name[:-1].strip())
        text += f"{_MARK}{where}"
    spec = parse_model(text)
    if len(names) != len(spec.adapters):
        raise ModelError(f"each adapter must be an argument of its own; got {text!r}")
    if not names:
        raise ModelError(f"a stack needs adapters, such as {_MARK}FOLDER; got {text!r}")
    family = f"{os.path.basename(os.path.abspath(spec.weights))}-"
    named = tuple(
        replace(adapter, name=name or adapter.name.removeprefix(family))
        for adapter, name in zip(spec.adapters, names, strict=True)
    )
    return replace(spec, adapters=named), _namer(base)


def _namer(base: ModelSpec) -> Callable[[tuple[Adapter, ...]], str]:
    for said in (base, replace(base, dtype=None)):
        if default_name(said) == base.name:
            return lambda adapters: default_name(said.with_adapters(adapters))
    bare = ModelSpec(name="", backend=base.backend, weights=base.weights)
    return lambda adapters: (
        base.name + default_name(bare.with_adapters(adapters)).removeprefix(default_name(bare))
    )
