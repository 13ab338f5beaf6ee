"""The catalogue as ``parity models`` lists it: filtered, with the memory that each entry needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from evalcore.errors import InputError
from evalcore.records import Openness
from runners.catalogue import (
    CatalogueEntry,
    catalogue,
    joint_licence,
    joint_openness,
    stands_on,
)
from runners.footprint import BITS_PER_WEIGHT, memory_bytes

__all__ = ["OPENNESS_CHOICES", "ListedModel", "OpennessChoice", "listed_models"]

OpennessChoice = Literal["full", "weights", "data", "code"]
OPENNESS_CHOICES: tuple[OpennessChoice, ...] = get_args(OpennessChoice)
"""What may be asked to be open; ``full`` means all three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """An entry with what it stands on."""

    entry: CatalogueEntry
    n_parameters: int
    """Weights of its base."""
    licence: str | None
    """Of all parts together."""
    openness: Openness
    """Of the least open part."""
    is_full_stack: bool
    """Whether weights, data and code are all open."""
    memory_bytes: Mapping[str, int]
    """Needed to run it, by form."""
    fits_as: str | None = None
    """The most precise form that fits the memory asked for; None where none was asked for."""


def listed_models(
    *,
    family: str | None = None,
    licence: str | None = None,
    openness: OpennessChoice | None = None,
    fits_bytes: int | None = None,
) -> list[ListedModel]:
    """Return what passes all filters, in the catalogue's order.

    Parameters
    ----------
    family
        Name of a family.
    licence
        Part of a licence's name; capitals don't matter.
    openness
        What has to be open.
    fits_bytes
        Memory that at least one form has to fit.

    Raises
    ------
    InputError
        For a family that isn't there, or a licence that no entry has; lists those there are.
    """
    models = [_listed(entry, fits_bytes) for entry in catalogue().values()]
    _check_known("family", family, [model.entry.family for model in models])
    _check_known("licence", licence, [model.licence for model in models if model.licence])
    return [
        model
        for model in models
        if (family is None or family == model.entry.family)
        and (licence is None or licence.lower() in (model.licence or "").lower())
        and _is_open(model, openness)
        and (fits_bytes is None or model.fits_as is not None)
    ]


def _check_known(option: str, wanted: str | None, known: list[str]) -> None:
    part = option == "licence"
    if wanted is None or wanted in known:
        return
    if not (part and any(wanted.lower() in name.lower() for name in known)):
        what = "part of one of" if part else "one of"
        names = ", ".join(dict.fromkeys(known))
        raise InputError(f"--{option} must be {what} {names}; got {wanted!r}")


def _is_open(model: ListedModel, wanted: OpennessChoice | None) -> bool:
    if wanted is None:
        return True
    if wanted == "full":
        return model.is_full_stack
    return bool(getattr(model.openness, wanted) == "open")


def _listed(entry: CatalogueEntry, fits_bytes: int | None) -> ListedModel:
    parts = stands_on(entry)
    n_parameters = parts[-1].n_parameters
    if n_parameters is None:
        raise InputError(f"catalogue entry {parts[-1].name!r} doesn't say its n_parameters")
    needed = {form: memory_bytes(n_parameters, form) for form in BITS_PER_WEIGHT}
    fitting = [form for form, n in needed.items() if fits_bytes is not None and n <= fits_bytes]
    openness = joint_openness(parts)
    return ListedModel(
        entry=entry,
        n_parameters=n_parameters,
        licence=joint_licence(parts),
        openness=openness,
        is_full_stack=openness.is_full_stack,
        memory_bytes=needed,
        fits_as=fitting[0] if fitting else None,
    )
