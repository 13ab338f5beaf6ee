"""Model strings: one line that names a variant.

::

    [NAME=]hf:FOLDER_OR_HUB_ID[@REVISION][?dtype=bf16&quant=nf4&template=alpaca&device=cuda:0]
    [NAME=]zoo:NAME[?…]
    [NAME=]openai:MODEL@URL[?key_env=VARIABLE&rpm=3000&tpm=…&concurrency=64&…]
    [NAME=]fake:NAME
    …+lora:FOLDER_OR_HUB_ID[*WEIGHT]  or  …+lora:zoo:NAME[*WEIGHT], as often as wanted
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.catalogue import catalogue_adapter, catalogue_spec
from runners.chat_templates import CHAT_TEMPLATES
from runners.endpoint.address import endpoint_spec

__all__ = ["DTYPES", "QUANTIZATIONS", "check_settings", "default_name", "parse_model"]

DTYPES: Final[Mapping[str, str]] = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}
"""What may be asked for, and its canonical name."""

QUANTIZATIONS: Final = ("int8", "nf4")

_BACKENDS = ("hf", "zoo", "openai", "fake")
_LATER_BACKENDS = ("gguf",)
_SHORT_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def parse_model(text: str) -> ModelSpec:
    """Read a model string.

    Nothing is looked up on disk apart from the bundled catalogue; :func:`runners.resolve` does.

    Parameters
    ----------
    text
        Such as ``mine=hf:models/pythia?quant=nf4+lora:adapters/math*0.5``.

    Returns
    -------
    ModelSpec
        Unresolved: no hashes, and ``dtype`` only if the string or the catalogue says one.

    Raises
    ------
    ModelError
        If the string can't be read or names something unknown; says what is permitted.
    """
    name, backend, rest = _split_backend(text)
    base_text, *adapter_texts = rest.split("+lora:")
    where, settings = _split_settings(base_text, text)
    if backend == "openai":
        spec = endpoint_spec(where, settings)
    else:
        spec = _base_spec(backend, where, text)
        for key, value in settings.items():
            spec = _with_setting(spec, key, value)
    spec = replace(
        spec, adapters=spec.adapters + tuple(_parse_adapter(part, text) for part in adapter_texts)
    )
    check_settings(spec)
    # What the catalogue settles goes without saying.
    named = spec if "dtype" in settings else replace(spec, dtype=None)
    return replace(spec, name=name or default_name(named))


def default_name(spec: ModelSpec) -> str:
    """Name a variant by what it is made of, such as ``tiny+instruct*0.5 (nf4)``.

    An adapter's name loses the base's name in front: ``tiny-instruct`` on ``tiny`` is ``instruct``.
    """
    base = _last_part(spec.weights) or spec.weights
    stack = "".join(
        f"+{adapter.name.removeprefix(f'{base}-')}{_weight_suffix(adapter.weight)}"
        for adapter in spec.adapters
    )
    dtype = _SHORT_DTYPES.get(spec.dtype, spec.dtype) if spec.dtype else None
    settings = [spec.revision, spec.quantization, dtype, spec.chat_template]
    said = ", ".join(setting for setting in settings if setting)
    return f"{base}{stack} ({said})" if said else f"{base}{stack}"


def check_settings(spec: ModelSpec) -> None:
    """Refuse values outside the closed choices, and an adapter that is twice in the stack.

    Raises
    ------
    ModelError
        Naming the setting, its value and what is permitted.
    """
    _check_choice("dtype", spec.dtype, tuple(_SHORT_DTYPES))
    _check_choice("quant", spec.quantization, QUANTIZATIONS)
    _check_choice("template", spec.chat_template, tuple(CHAT_TEMPLATES))
    if not _DEVICE.fullmatch(spec.device):
        raise ModelError(f"device must be auto, cpu, mps, cuda or cuda:N; got {spec.device!r}")
    if spec.backend in ("fake", "openai") and spec.adapters:
        kind = "a fake model" if spec.backend == "fake" else "an endpoint"
        raise ModelError(f"{kind} takes no adapters")
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


def _split_backend(text: str) -> tuple[str, str, str]:
    """Return display name, backend and what follows the colon."""
    permitted = ", ".join(f"{backend}:" for backend in _BACKENDS)
    name = ""
    described = text
    if not text.startswith(tuple(f"{backend}:" for backend in _BACKENDS + _LATER_BACKENDS)):
        name, equals, described = text.partition("=")
        if not equals:
            described = text
        elif not name.strip():
            raise ModelError(f"the name before '=' is empty in model {text!r}")
    backend, colon, rest = described.partition(":")
    if backend in _LATER_BACKENDS and colon:
        raise ModelError(f"backend {backend}: is not part of this version; use {permitted}")
    if backend not in _BACKENDS or not colon:
        raise ModelError(f"a model must be [NAME=] and one of {permitted}; got {text!r}")
    return name.strip(), backend, rest


def _split_settings(base_text: str, text: str) -> tuple[str, dict[str, str]]:
    where, _, query = base_text.partition("?")
    if not where:
        raise ModelError(f"nothing follows the backend's name in model {text!r}")
    settings: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        key, _, value = pair.partition("=")
        if key in settings:
            raise ModelError(f"setting {key!r} is said twice in model {text!r}")
        settings[key] = value
    return where, settings


def _base_spec(backend: str, where: str, text: str) -> ModelSpec:
    if backend == "zoo":
        return catalogue_spec(where)
    revision = None
    if backend == "hf" and "@" in where:
        folder, _, tail = where.rpartition("@")
        if folder and "/" not in tail:
            where, revision = folder, tail
            if not revision:
                raise ModelError(f"the revision after '@' is empty in model {text!r}")
    return ModelSpec(name="", backend=backend, weights=where, revision=revision)


def _with_setting(spec: ModelSpec, key: str, value: str) -> ModelSpec:
    if spec.backend == "fake":
        raise ModelError(f"a fake model takes no settings; got {key!r}")
    match key:
        case "dtype":
            if value not in DTYPES:
                raise ModelError(f"dtype must be one of {', '.join(DTYPES)}; got {value!r}")
            return replace(spec, dtype=DTYPES[value])
        case "quant":
            return replace(spec, quantization=value)
        case "template":
            return replace(spec, chat_template=value)
        case "device":
            return replace(spec, device=value)
        case _:
            raise ModelError(f"a model's settings are dtype, quant, template, device; got {key!r}")


def _parse_adapter(part: str, text: str) -> Adapter:
    if "?" in part:
        raise ModelError(f"settings (?…) come before the first +lora: in model {text!r}")
    path, star, weight_text = part.rpartition("*")
    if not star:
        path, weight_text = part, "1"
    if not path:
        raise ModelError(f"nothing follows +lora: in model {text!r}")
    try:
        weight = float(weight_text)
    except ValueError:
        raise ModelError(
            f"the weight after '*' must be a number; got {weight_text!r} in model {text!r}"
        ) from None
    if path.startswith("zoo:"):
        return replace(catalogue_adapter(path.removeprefix("zoo:")), weight=weight)
    return Adapter(name=_last_part(path), path=path, weight=weight)


def _last_part(path: str) -> str:
    return os.path.basename(os.path.abspath(os.path.expanduser(path)))


def _weight_suffix(weight: float) -> str:
    return "" if weight == 1 else f"*{weight:g}"
