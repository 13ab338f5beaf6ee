"""What stands behind the ``?`` of a model string, as far as backends have it in common."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.backends import backend
from runners.chat_templates import CHAT_TEMPLATES

__all__ = ["DTYPES", "SHORT_DTYPES", "check_settings", "with_settings"]

DTYPES: Final[Mapping[str, str]] = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}
"""What may be asked for, and its canonical name."""

SHORT_DTYPES: Final[Mapping[str, str]] = {
    "float32": "fp32",
    "bfloat16": "bf16",
    "float16": "fp16",
}
COMMON: Final = ("dtype", "quant", "template", "device")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def with_settings(
    spec: ModelSpec,
    settings: Mapping[str, str],
    *,
    common: Sequence[str] = COMMON,
    own: Sequence[str] = (),
) -> ModelSpec:
    """Put the common settings into a spec.

    Parameters
    ----------
    spec
        As its backend's own part of the model string makes it.
    settings
        By name, as written; those in `own` are left to the backend.
    common
        Names of the common settings that the backend takes.
    own
        Names of settings that only this backend has.

    Raises
    ------
    ModelError
        For a setting that is neither common nor the backend's own, or an unknown dtype.
    """
    for key, value in settings.items():
        if key not in (*common, *own):
            names = ", ".join((*common, *own))
            raise ModelError(f"a model's settings are {names}; got {key!r}")
        match key:
            case "dtype":
                if value not in DTYPES:
                    raise ModelError(f"dtype must be one of {', '.join(DTYPES)}; got {value!r}")
                spec = replace(spec, dtype=DTYPES[value])
            case "quant":
                spec = replace(spec, quantization=value)
            case "template":
                spec = replace(spec, chat_template=value)
            case "device":
                spec = replace(spec, device=value)
    return spec


def check_settings(spec: ModelSpec) -> None:
    """Refuse values outside the closed choices, and an adapter that is twice in the stack.

    Raises
    ------
    ModelError
        Naming the setting, its value and what is permitted.
    """
    permitted = backend(spec.backend)
    _check_choice("dtype", spec.dtype, permitted.dtypes)
    _check_choice("quant", spec.quantization, permitted.quantizations)
    _check_choice("template", spec.chat_template, tuple(CHAT_TEMPLATES))
    if not _DEVICE.fullmatch(spec.device):
        raise ModelError(f"device must be auto, cpu, mps, cuda or cuda:N; got {spec.device!r}")
    if spec.adapters and not permitted.takes_adapters:
        raise ModelError(f"{permitted.kind} takes no adapters")
    _check_weights(spec.adapters)


def _check_weights(adapters: Sequence[Adapter]) -> None:
    seen: set[str] = set()
    for adapter in adapters:
        if not math.isfinite(adapter.weight):
            raise ModelError(
                f"weight of adapter {adapter.name!r} must be a finite number; got {adapter.weight}"
            )
        identity = adapter.sha256 or os.path.abspath(adapter.path)
        if identity in seen:
            raise ModelError(
                f"adapter {adapter.name!r} is in the stack twice; give it one weight instead"
            )
        seen.add(identity)


def _check_choice(setting: str, value: str | None, permitted: Sequence[str]) -> None:
    if value is not None and value not in permitted:
        raise ModelError(f"{setting} must be one of {', '.join(permitted)}; got {value!r}")
