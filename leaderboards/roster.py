"""Who is on the board: models with results, with votes, or with both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from evalcore.store import Store
from evalcore.store.runs import RunHead

__all__ = ["Roster", "make_roster"]

_SHORTEST_DIGITS = 6
_LOW_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Models under names that are unique, and what votes call them."""

    specs: Mapping[str, ModelSpec]
    """By fingerprint, in the order of the names, to which half precision is added."""
    given: Mapping[str, str]
    """The name last given to each, by fingerprint; several may share one."""
    voted: Mapping[str, str]
    """Fingerprints by what a comparison names the model by, a fingerprint or a name."""

    def find(self, text: str) -> frozenset[str]:
        """Find models by name or the first digits of the fingerprint.

        Raises
        ------
        InputError
            If there is none.
        """
        found = frozenset(
            fingerprint
            for fingerprint, spec in self.specs.items()
            if text in (self.given[fingerprint], spec.name)
            or (len(text) >= _SHORTEST_DIGITS and fingerprint.startswith(text))
        )
        if not found:
            names = ", ".join(sorted(spec.name for spec in self.specs.values()))
            raise InputError(f"model must be one that was evaluated, {names}; got {text!r}")
        return found

    def one(self, text: str) -> str:
        """Find one model.

        Raises
        ------
        InputError
            If there is none, or there are several of which none is shown under just this name.
        """
        found = sorted(self.find(text))
        shown = [fingerprint for fingerprint in found if self.specs[fingerprint].name == text]
        found = shown if len(shown) == 1 else found
        if len(found) > 1:
            names = ", ".join(self.specs[fingerprint].name for fingerprint in found)
            raise InputError(f"model must be one of {names}; got {text!r}, which may be any")
        return found[0]


def make_roster(store: Store, runs: Iterable[RunHead], voted: Collection[str]) -> Roster:
    """List the models that have runs or votes.

    Parameters
    ----------
    store
        The workspace.
    runs
        All runs, oldest first.
    voted
        What comparisons name models by.
    """
    known = store.models()
    uses = Counter(spec.name for spec in known.values())
    by_name = {spec.name: key for key, spec in known.items() if uses[spec.name] == 1}
    newest = {run.fingerprint: run for run in runs}
    specs = {key: known.get(key) or head.run.spec for key, head in newest.items()}
    calls = {}
    for name in sorted(voted):
        fingerprint = name if name in known else by_name.get(name, "")
        spec = known[fingerprint] if fingerprint else _known_by_name(name)
        calls[name] = spec.fingerprint
        specs.setdefault(spec.fingerprint, spec)
    specs = dict(sorted(specs.items(), key=lambda item: (item[1].name, item[0])))
    return Roster(
        specs=_unique_names({key: _with_precision(spec) for key, spec in specs.items()}),
        given={fingerprint: spec.name for fingerprint, spec in specs.items()},
        voted=calls,
    )


def _known_by_name(name: str) -> ModelSpec:
    """Describe a model of which votes tell the name alone, as imports of verdicts do."""
    return ModelSpec(name=name, backend="imported", weights=name)


def _with_precision(spec: ModelSpec) -> ModelSpec:
    """Append half precision to a name that doesn't say it, since answers can flip."""
    short = _LOW_PRECISIONS.get(spec.dtype or "")
    if short is None or short in spec.name.lower() or str(spec.dtype) in spec.name.lower():
        return spec
    return replace(spec, name=f"{spec.name} ({short})")


def _unique_names(specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Append the beginning of the fingerprint where different models have one name."""
    uses = Counter(spec.name for spec in specs.values())
    return {
        fingerprint: spec
        if uses[spec.name] == 1
        else replace(spec, name=f"{spec.name} #{fingerprint[:6]}")
        for fingerprint, spec in specs.items()
    }
