"""The catalogue: models that are known by name, first of all the bundled tiny family.

An entry either has weights of its own or is another entry with one adapter on top. What it says of
licence, openness, size and cost reaches every spec that is made of it, whatever it is called by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from evalcore.errors import ModelError
from evalcore.records import Adapter, ModelSpec, Openness, OpennessLevel

__all__ = [
    "CatalogueEntry",
    "PublishedCost",
    "catalogue",
    "catalogue_adapter",
    "catalogue_spec",
    "joint_licence",
    "joint_openness",
    "stands_on",
    "with_facts",
]

CATALOGUE_FILE: Final = Path(__file__).with_name("catalogue.yaml")
_WORST_FIRST: Final[tuple[OpennessLevel, ...]] = ("closed", "partly", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCost:
    """What making a model from its base cost, as its makers say."""

    usd: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model known by name."""

    name: str
    family: str
    """What it is built like or descends from, such as ``llama``."""
    description: str
    openness: Openness
    source: str
    """Where its facts come from."""
    licence: str | None = None
    """SPDX identifier or the licence's name; None if none was found."""
    weights: str | None = None
    """Folder (seen from the catalogue) or hub id; None for an adapter's entry."""
    revision: str | None = None
    """Commit, tag or branch of a hub id; None means the newest."""
    base: str | None = None
    """Name of the entry that the adapter goes on top of."""
    adapter: str | None = None
    """Folder of the adapter (seen from the catalogue) or hub id."""
    elsewhere: str | None = None
    """Why it can be listed but not loaded; None if it can be."""
    dtype: str | None = None
    """What it runs in unless asked otherwise; None means as the checkpoint says."""
    chat_template: str | None = None
    """Of :mod:`runners.chat_templates`; None means the model's own, if it has one."""
    n_parameters: int | None = None
    """Weights; None for an adapter's entry, which has its base's."""
    training_cost: PublishedCost | None = None


@cache
def catalogue() -> Mapping[str, CatalogueEntry]:
    """Return all entries by name, in the catalogue's order."""
    listed: dict[str, dict[str, Any]] = yaml.safe_load(CATALOGUE_FILE.read_text("utf-8"))
    return {name: _read_entry(name, fields) for name, fields in listed.items()}


def catalogue_spec(name: str) -> ModelSpec:
    """Return an entry as an unresolved spec: its base and, for an adapter's entry, the stack.

    Raises
    ------
    ModelError
        If the name is unknown, which lists the names, or the model can't be loaded.
    """
    entry = _entry(name)
    if entry.base is None:
        base = ModelSpec(name="", backend="hf", weights=_located(entry.weights, entry))
    else:
        base = catalogue_spec(entry.base)
        base = replace(base, adapters=(*base.adapters, catalogue_adapter(name)))
    return replace(
        base,
        revision=entry.revision or base.revision,
        dtype=entry.dtype or base.dtype,
        chat_template=entry.chat_template or base.chat_template,
    )


def catalogue_adapter(name: str) -> Adapter:
    """Return an entry's own adapter, without whatever it was put on top of.

    Raises
    ------
    ModelError
        If the name is unknown or the entry has no adapter, which lists the names, or the adapter
        can't be loaded.
    """
    entry = _entry(name)
    if entry.adapter is None and entry.elsewhere is None:
        names = ", ".join(other.name for other in catalogue().values() if other.adapter)
        raise ModelError(f"zoo:{name} is no adapter; adapters are {names}")
    return Adapter(name=name, path=_located(entry.adapter, entry))


def stands_on(entry: CatalogueEntry) -> list[CatalogueEntry]:
    """Return an entry and what it was put on top of, down to the one that has weights."""
    return [entry] if entry.base is None else [entry, *stands_on(_entry(entry.base))]


def joint_licence(entries: Sequence[CatalogueEntry]) -> str | None:
    """Join licences that all hold, as SPDX writes it; None if one of them is unknown."""
    licences = list(dict.fromkeys(entry.licence for entry in entries))
    named = [licence for licence in licences if licence is not None]
    return " AND ".join(named) if len(named) == len(licences) else None


def joint_openness(entries: Sequence[CatalogueEntry]) -> Openness:
    """Return how open a whole is: as its least open part."""
    parts = [entry.openness for entry in entries]
    return Openness(
        weights=min((part.weights for part in parts), key=_WORST_FIRST.index),
        data=min((part.data for part in parts), key=_WORST_FIRST.index),
        code=min((part.code for part in parts), key=_WORST_FIRST.index),
    )


def with_facts(spec: ModelSpec) -> ModelSpec:
    """Fill in what the catalogue says of a spec's parts, found by folder or hub id.

    A stack's licences all hold, its openness is the least of its parts', and its cost is that of
    its adapters together. Where a part is not in the catalogue, the whole is unknown.

    Returns
    -------
    ModelSpec
        With ``licence``, ``openness``, ``training_cost_usd`` and ``n_parameters``; None for what
        nobody says.
    """
    known = _by_place()
    base = known.get(spec.weights)
    parts = [base, *(known.get(adapter.path) for adapter in spec.adapters)]
    made = parts[1:] or parts
    found = [part for part in parts if part is not None]
    costs = [part.training_cost.usd for part in made if part and part.training_cost]
    is_known = len(found) == len(parts)
    return replace(
        spec,
        licence=joint_licence(found) if is_known else None,
        openness=joint_openness(found) if is_known else None,
        training_cost_usd=sum(costs) if len(costs) == len(made) else None,
        n_parameters=base.n_parameters if base else None,
    )


@cache
def _by_place() -> Mapping[str, CatalogueEntry]:
    places = ((entry, entry.adapter or entry.weights) for entry in catalogue().values())
    return {_located(place, entry): entry for entry, place in places if place}


def _read_entry(name: str, fields: Mapping[str, Any]) -> CatalogueEntry:
    cost = fields.get("training_cost")
    openness = Openness(**fields["openness"])
    parsed = {"openness": openness, "training_cost": PublishedCost(**cost) if cost else None}
    return CatalogueEntry(name=name, **{**fields, **parsed})


def _entry(name: str) -> CatalogueEntry:
    try:
        return catalogue()[name]
    except KeyError:
        raise ModelError(
            f"zoo model must be one of {', '.join(catalogue())}; got {name!r}"
        ) from None


def _located(place: str | None, entry: CatalogueEntry) -> str:
    if place is None:
        raise ModelError(f"zoo:{entry.name} can't be loaded: {entry.elsewhere}")
    bundled = CATALOGUE_FILE.parent / place
    return str(bundled) if place.startswith("zoo/") else place
