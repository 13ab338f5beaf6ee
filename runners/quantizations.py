"""The ways to quantise a model of transformers, and what each of them needs to be installed.

Importing this module is cheap; :mod:`runners.hf.quantization` does the work.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from evalcore.errors import ModelError

__all__ = ["QUANTIZATIONS", "Quantization", "check_installed", "check_loadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """A way to quantise weights on loading."""

    description: str
    package: str
    """Module that does it."""
    install: str
    """Command that gets it."""


_BITSANDBYTES = {"package": "bitsandbytes", "install": "pip install bitsandbytes"}

QUANTIZATIONS: Final[Mapping[str, Quantization]] = {
    "int8": Quantization(description="8 bits, LLM.int8, bitsandbytes", **_BITSANDBYTES),
    "nf4": Quantization(
        description="4 bits, NormalFloat, its constants quantised, too, bitsandbytes",
        **_BITSANDBYTES,
    ),
    "nf4-single": Quantization(
        description="4 bits, NormalFloat, its constants in float32, bitsandbytes", **_BITSANDBYTES
    ),
    "torchao-int8": Quantization(
        description="8 bits, weights only, one scale for each row, torchao",
        package="torchao",
        install="pip install 'parity-eval[torchao]'",
    ),
}
"""By the name that ``?quant=`` takes."""

_CHECKPOINTS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "aqlm": (("aqlm",), "pip install 'aqlm[gpu,cpu]'"),
    "auto-round": (("auto_round",), "pip install auto-round"),
    "awq": (("gptqmodel",), "pip install gptqmodel"),
    "bitsandbytes": (("bitsandbytes",), "pip install bitsandbytes"),
    "compressed-tensors": (("compressed_tensors",), "pip install compressed-tensors"),
    "gptq": (("gptqmodel", "optimum"), "pip install gptqmodel optimum"),
    "hqq": (("hqq",), "pip install hqq"),
    "quanto": (("optimum.quanto",), "pip install optimum-quanto"),
    "torchao": (("torchao",), "pip install 'parity-eval[torchao]'"),
}
"""Modules that a checkpoint which is quantised already needs, by its ``quant_method``."""


def check_installed(name: str) -> None:
    """Check that what quantises is installed.

    Raises
    ------
    ModelError
        With the command that gets it.
    """
    form = QUANTIZATIONS[name]
    if not _is_there(form.package):
        raise ModelError(
            f"quant={name} needs {form.package}, which is not installed ({form.install}); "
            "dtype=bf16 works without it"
        )


def check_loadable(config: Mapping[str, Any], folder: object) -> None:
    """Check that what a checkpoint's own quantisation needs is installed.

    Parameters
    ----------
    config
        The checkpoint's ``config.json``; one that isn't quantised always passes. Methods that are
        not known here are left to transformers.
    folder
        For the message.

    Raises
    ------
    ModelError
        With the command that gets it.
    """
    method = (config.get("quantization_config") or {}).get("quant_method", "")
    modules, install = _CHECKPOINTS.get(method, ((), ""))
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise ModelError(
            f"a checkpoint quantised by {method} needs {' and '.join(missing)}, not installed here "
            f"({install}): {folder}"
        )


def _is_there(module: str) -> bool:
    parent = module.rpartition(".")[0]
    return (not parent or _is_there(parent)) and importlib.util.find_spec(module) is not None
