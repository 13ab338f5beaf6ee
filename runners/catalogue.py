"""The catalogue: models that are known by name, first of all the bundled tiny family.

An entry either has weights of its own or is another entry with one adapter on top.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec

__all__ = ["CatalogueEntry", "catalogue", "catalogue_adapter", "catalogue_spec"]

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model known by name."""

    name: str
    description: str
    licence: str
    """SPDX identifier or the licence's name."""
    weights: str | None = None
    """Folder (seen from the catalogue) or hub id; None for an adapter's entry."""
    revision: str | None = None
    """Commit of a hub id."""
    base: str | None = None
    """Name of the entry that the adapter goes on top of."""
    adapter: str | None = None
    """Folder of the adapter (seen from the catalogue) or hub id."""
    dtype: str | None = None
    """What it runs in unless asked otherwise; None means as the checkpoint says."""
    chat_template: str | None = None
    training_cost_usd: float | None = None
    """Published cost of making it from its base, in US dollars."""


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Return all entries by name, in the catalogue's order."""
    listed: dict[str, dict[str, Any]] = yaml.safe_load(CATALOGUE_FILE.read_text("utf-8"))
    return {name: CatalogueEntry(name=name, **fields) for name, fields in listed.items()}


def catalogue_spec(name: str) -> ModelSpec:
    """Return an entry as an unresolved spec: its base and, for an adapter's entry, the stack.

    Raises
    ------
    ModelError
        If the name is unknown; lists the names.
    """
    entry = _entry(name)
    if entry.base is None:
        base = ModelSpec(name="", backend="hf", weights=_located(entry.weights, name))
    else:
        base = catalogue_spec(entry.base)
        base = replace(base, adapters=(*base.adapters, catalogue_adapter(name)))
    return replace(
        base,
        revision=entry.revision or base.revision,
        dtype=entry.dtype or base.dtype,
        chat_template=entry.chat_template or base.chat_template,
        licence=entry.licence,
        training_cost_usd=entry.training_cost_usd,
    )


def catalogue_adapter(name: str) -> Adapter:
    """Return an entry's own adapter, without whatever it was put on top of.

    Raises
    ------
    ModelError
        If the name is unknown or the entry has no adapter; lists the names.
    """
    entry = _entry(name)
    if entry.adapter is None:
        names = ", ".join(other.name for other in catalogue().values() if other.adapter)
        raise ModelError(f"zoo:{name} is no adapter; adapters are {names}")
    return Adapter(name=name, path=_located(entry.adapter, name))


def _entry(name: str) -> CatalogueEntry:
    try:
        return catalogue()[name]
    except KeyError:
        raise ModelError(
            f"zoo model must be one of {', '.join(catalogue())}; got {name!r}"
        ) from None


def _located(place: str | None, name: str) -> str:
    if place is None:
        raise ModelError(f"entry {name!r} has neither weights nor a base ({CATALOGUE_FILE})")
    bundled = CATALOGUE_FILE.parent / place
    return str(bundled) if place.startswith("zoo/") else place
