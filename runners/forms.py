"""The quantised forms of one model, by short names, for tables that hold them side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from evalcore.errors import InputError, ModelError
from evalcore.records import ModelSpec
from runners.backends import backend
from runners.modelstring import default_name, parse_model
from runners.quantizations import QUANTIZATIONS
from runners.resolving import resolve
from runners.settings import DTYPES

__all__ = ["FORMS", "default_forms", "fit_together", "in_single_precision", "quantised_form"]

_DTYPE_FORMS: Final = ("bf16", "fp16")
_GGUF: Final = "gguf:"
_DEFAULT_GGUF: Final = ("gguf:Q8_0", "gguf:Q4_K_M")

FORMS: Final = (*_DTYPE_FORMS, *QUANTIZATIONS, *_DEFAULT_GGUF)
"""Those with names of their own; ``gguf:`` takes other types, too."""


def in_single_precision(model: str) -> ModelSpec:
    """Return a model of transformers as it is before anything is rounded, resolved.

    Raises
    ------
    ModelError
        For a model of another backend, or one whose checkpoint is quantised already.
    """
    spec = parse_model(model)
    if spec.backend != "hf":
        raise ModelError(
            "a model whose quantised forms are compared must be hf: or zoo:, which can be run in "
            f"single precision; got {model!r}"
        )
    own_name = None if spec.name in _own_names(spec) else spec.name
    plain = replace(spec, quantization=None, dtype="float32", name="")
    name = default_name(plain) if own_name is None else f"{own_name} (fp32)"
    return resolve(replace(plain, name=name))


def quantised_form(
    reference: ModelSpec, form: str, *, folder: Path, note: Callable[[str], None]
) -> ModelSpec:
    """Return a form of a model, resolved.

    Parameters
    ----------
    reference
        Of :func:`in_single_precision`.
    form
        ``bf16``, ``fp16``, one of :data:`~runners.quantizations.QUANTIZATIONS`, or ``gguf:TYPE``,
        for which a file is made unless it is there.
    folder
        Where files are made.
    note
        Is told what is being done.

    Raises
    ------
    InputError
        For an unknown form; lists those permitted.
    """
    if form.startswith(_GGUF):
        return _gguf_form(reference, form.removeprefix(_GGUF), folder=folder, note=note)
    if form not in (*_DTYPE_FORMS, *QUANTIZATIONS):
        known = ", ".join((*_DTYPE_FORMS, *QUANTIZATIONS, "gguf:TYPE"))
        raise InputError(f"a form must be one of {known}; got {form!r}")
    is_dtype = form in _DTYPE_FORMS
    spec = replace(
        reference,
        quantization=None if is_dtype else form,
        dtype=DTYPES[form] if is_dtype else None,
    )
    return resolve(replace(spec, name=_named(reference, form)))


def default_forms(device: str) -> list[str]:
    """Return the forms that can be run here, most precise first."""
    from runners.hf.quantization import why_not

    kind = _device(device)
    forms = ["bf16", *(form for form in QUANTIZATIONS if why_not(form, kind) is None)]
    if backend("gguf").why_not() is None:
        forms += _DEFAULT_GGUF
    return forms


def fit_together(reference: ModelSpec, n_forms: int) -> bool:
    """Say whether a model and its forms fit half of the free memory, each counted at 32 bits."""
    import torch

    from runners.engine.memory import free_bytes
    from runners.footprint import memory_bytes

    if reference.n_parameters is None:
        return False
    needed = (1 + n_forms) * memory_bytes(reference.n_parameters, "fp32")
    return needed <= free_bytes(torch.device(_device(reference.device))) // 2


def _gguf_form(
    reference: ModelSpec, kind: str, *, folder: Path, note: Callable[[str], None]
) -> ModelSpec:
    from runners.gguf.convert import CONVERSION_TYPES, convert

    kind = kind.upper()
    if kind not in CONVERSION_TYPES:
        raise InputError(f"a type of gguf: is one of {', '.join(CONVERSION_TYPES)}; got {kind!r}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{reference.fingerprint[:16]}-{kind}.gguf"
    if not path.is_file():
        convert(reference, path, kind, note=note)
    return resolve(replace(parse_model(f"gguf:{path}"), name=_named(reference, f"{kind} gguf")))


def _named(reference: ModelSpec, form: str) -> str:
    """Name a form as the reference, whose name says ``fp32`` in brackets."""
    before, _, after = reference.name.rpartition("fp32")
    return f"{before}{form}{after}"


def _device(device: str) -> str:
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def _own_names(spec: ModelSpec) -> tuple[str, str]:
    """Return the names that a model gets by itself, whether its dtype was said or not."""
    return default_name(spec), default_name(replace(spec, dtype=None))
