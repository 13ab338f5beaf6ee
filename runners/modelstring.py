"""Model strings: one line that names a variant.

::

    [NAME=]hf:FOLDER_OR_HUB_ID[@REVISION][?dtype=bf16&quant=nf4&template=alpaca&device=cuda:0
                                     &combine=ties&density=0.5&rank=8&seed=0]
    [NAME=]zoo:NAME[?…]
    [NAME=]gguf:FILE[?n_ctx=2048&n_threads=4&n_gpu_layers=0&template=alpaca]
    [NAME=]vllm:FOLDER_OR_HUB_ID[@REVISION][?dtype=bf16&tensor_parallel=2&max_len=4096]
    [NAME=]openai:MODEL@URL[?key_env=VARIABLE&rpm=3000&tpm=…&concurrency=64&…]
    [NAME=]fake:NAME
    …+lora:FOLDER_OR_HUB_ID[*WEIGHT]  or  …+lora:zoo:NAME[*WEIGHT], as often as wanted
    …+adapter:FOLDER_OR_HUB_ID        the same, for adapters that are no LoRA
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec
from runners.backends import BACKENDS, backend
from runners.catalogue import catalogue, catalogue_adapter, stands_on, with_facts
from runners.settings import SHORT_DTYPES, check_settings

__all__ = ["default_name", "parse_model"]

_MARK = re.compile(r"\+(?:lora|adapter):")


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
    name, kind, rest = _split_backend(text)
    base_text, *adapter_texts = _MARK.split(rest)
    where, settings = _split_settings(base_text, text)
    spec = backend(kind).read(where, settings)
    spec = replace(
        spec, adapters=spec.adapters + tuple(_parse_adapter(part, text) for part in adapter_texts)
    )
    check_settings(spec)
    named = _as_said(spec, where, settings) if kind == "zoo" else spec
    return with_facts(replace(spec, name=name or default_name(named)))


def default_name(spec: ModelSpec) -> str:
    """Name a variant by what it is made of, such as ``tiny+instruct*0.5 (nf4)``.

    An adapter's name loses the base's name in front: ``tiny-instruct`` on ``tiny`` is ``instruct``.
    """
    base = _last_part(spec.weights).removesuffix(".gguf") or spec.weights
    stack = "".join(
        f"+{adapter.name.removeprefix(f'{base}-')}{_weight_suffix(adapter.weight)}"
        for adapter in spec.adapters
    )
    dtype = SHORT_DTYPES.get(spec.dtype, spec.dtype) if spec.dtype else None
    combined = spec.combination.words if spec.combination else None
    settings = [spec.revision, spec.quantization, dtype, combined, spec.chat_template]
    said = ", ".join(setting for setting in settings if setting)
    return f"{base}{stack} ({said})" if said else f"{base}{stack}"


def _split_backend(text: str) -> tuple[str, str, str]:
    """Return display name, backend and what follows the colon."""
    permitted = [f"{name}:" for name in BACKENDS]
    name = ""
    described = text
    if not text.startswith(tuple(permitted)):
        name, equals, described = text.partition("=")
        if not equals:
            described = text
        elif not name.strip():
            raise ModelError(f"the name before '=' is empty in model {text!r}")
    kind, colon, rest = described.partition(":")
    if kind not in BACKENDS or not colon:
        raise ModelError(f"a model must be [NAME=] and one of {', '.join(permitted)}; got {text!r}")
    return name.strip(), kind, rest


def _as_said(spec: ModelSpec, name: str, settings: Mapping[str, str]) -> ModelSpec:
    """Leave out what the catalogue settles, which goes without saying."""
    return replace(
        spec,
        weights=stands_on(catalogue()[name])[-1].name,
        revision=None,
        dtype=spec.dtype if "dtype" in settings else None,
        chat_template=spec.chat_template if "template" in settings else None,
    )


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
    name = _last_part(path).removesuffix(".gguf")
    return Adapter(name=name, path=path, weight=weight)


def _last_part(path: str) -> str:
    return os.path.basename(os.path.abspath(os.path.expanduser(path)))


def _weight_suffix(weight: float) -> str:
    return "" if weight == 1 else f"*{weight:g}"
