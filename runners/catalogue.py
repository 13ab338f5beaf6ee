"""The catalogue: models that are known by name, first of all the bundled tiny family.

An entry either has weights of its own or is another entry with one adapter on top. What it says of
licence, openness, size and cost reaches every spec that is made of it, whatever it is called by. A
user's own file of entries, named by ``PARITY_CATALOGUE``, comes on top of the bundled one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from evalcore.errors import InputError, ModelError
from evalcore.records import Adapter, ModelSpec, Openness, OpennessLevel

__all__ = [
    "CATALOGUE_VARIABLE",
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
CATALOGUE_VARIABLE: Final = "PARITY_CATALOGUE"
"""Environment variable with the path of a user's own entries."""
_WORST_FIRST: Final[tuple[OpennessLevel, ...]] = ("closed", "partly", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedCost:
    """What making a model from its base cost, as its makers say."""

    usd: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """A model known by name."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    openness: Openness
    family: str = "own"
    """What it is built like or descends from, such as ``llama``."""
    description: str = ""
    source: str = ""
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
    n_parameters: Annotated[int, Field(gt=0)] | None = None
    """Weights; None for an adapter's entry, which has its base's."""
    training_tokens: Annotated[int, Field(gt=0)] | None = None
    """Tokens that it was trained on from nothing, as its makers say; None for what was tuned."""
    training_cost: PublishedCost | None = None


def catalogue() -> Mapping[str, CatalogueEntry]:
    """Return all entries by name: a user's own, then the bundled ones in their order.

    Raises
    ------
    InputError
        If the user's own file can't be read, or names something that is bundled.
    """
    own = os.environ.get(CATALOGUE_VARIABLE)
    return _with_own(own) if own else _bundled()


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
        With ``licence``, ``openness``, ``training_cost_usd``, ``n_parameters`` and
        ``training_tokens``; None for what nobody says.
    """
    known = _by_place()
    base, *adapters = [
        known.get(place) or known.get(os.path.abspath(place))
        for place in (spec.weights, *(adapter.path for adapter in spec.adapters))
    ]
    parts = [base, *adapters]
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
        training_tokens=base.training_tokens if base else None,
    )


def _by_place() -> Mapping[str, CatalogueEntry]:
    places = ((entry, entry.adapter or entry.weights) for entry in catalogue().values())
    return {_located(place, entry): entry for entry, place in places if place}


@cache
def _bundled() -> Mapping[str, CatalogueEntry]:
    return _read_entries(CATALOGUE_FILE)


@cache
def _with_own(path: str) -> Mapping[str, CatalogueEntry]:
    file = Path(path).expanduser()
    where = f"catalogue {path} ({CATALOGUE_VARIABLE})"
    try:
        own = _read_entries(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = " → ".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{where}, {place}: {first['msg']}") from None
    entries = {**{name: _beside(file, entry) for name, entry in own.items()}, **_bundled()}
    for name, entry in own.items():
        if name in _bundled():
            raise InputError(f"{where}, {name}: an entry of the bundled catalogue has this name")
        if (entry.weights is None) == (entry.base is None or entry.adapter is None):
            raise InputError(f"{where}, {name}: needs weights, or base and adapter")
        if entry.weights is not None and entry.n_parameters is None:
            raise InputError(f"{where}, {name}: needs n_parameters, as it has weights of its own")
        if entry.base is not None and entry.base not in entries:
            raise InputError(f"{where}, {name}: there is no entry {entry.base!r} for its base")
    return entries


def _beside(file: Path, entry: CatalogueEntry) -> CatalogueEntry:
    """Return an entry with what lies beside its file as a path; other places are hub ids."""
    weights, adapter = (
        str(path.resolve()) if place and (path := file.parent / place).exists() else place
        for place in (entry.weights, entry.adapter)
    )
    return replace(entry, weights=weights, adapter=adapter)


def _read_entries(file: Path) -> Mapping[str, CatalogueEntry]:
    content: dict[str, Any] = _LISTED.validate_python(yaml.safe_load(file.read_text("utf-8")))
    return _ENTRIES.validate_python(
        {name: {"name": name, **fields} for name, fields in content.items()}
    )


_LISTED = TypeAdapter(dict[str, dict[str, Any]])
_ENTRIES = TypeAdapter(dict[str, CatalogueEntry])


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
