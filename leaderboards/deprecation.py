"""Models that are not to be used any more: their rows stay, and say so."""

from __future__ import annotations

from collections.abc import Collection

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from evalcore.store import Store
from leaderboards.records import Deprecation
from leaderboards.roster import make_roster

__all__ = ["deprecate", "deprecations", "restore"]


def deprecations(store: Store, models: Collection[str]) -> dict[str, Deprecation]:
    """Return which of some models, by fingerprint, are deprecated, since when and why."""
    found: dict[str, Deprecation] = {}
    for event in store.model_events():
        if event.kind == "deprecated" and event.fingerprint in models:
            found[event.fingerprint] = Deprecation(
                created_utc=event.created_utc, reason=event.reason
            )
        elif event.kind == "restored":
            found.pop(event.fingerprint, None)
    return found


def deprecate(store: Store, model: str, *, reason: str) -> ModelSpec:
    """Record that a model is deprecated.

    Raises
    ------
    InputError
        Without a reason, for a model that is not on the board, or is deprecated already.
    """
    if not reason.strip():
        raise InputError("--reason must say why; got an empty one")
    spec = _model(store, model)
    if spec.fingerprint in deprecations(store, [spec.fingerprint]):
        raise InputError(f"{spec.name} is deprecated already")
    store.add_model_event(spec.fingerprint, "deprecated", reason=reason)
    return spec


def restore(store: Store, model: str, *, reason: str) -> ModelSpec:
    """Record that a model is deprecated no more.

    Raises
    ------
    InputError
        For a model that is not deprecated.
    """
    spec = _model(store, model)
    if spec.fingerprint not in deprecations(store, [spec.fingerprint]):
        raise InputError(f"{spec.name} is not deprecated")
    store.add_model_event(spec.fingerprint, "restored", reason=reason)
    return spec


def _model(store: Store, model: str) -> ModelSpec:
    votes = store.votes(kinds=("human", "judge", "rule", "simulated"))
    roster = make_roster(store, store.run_heads(), () if votes is None else votes.models)
    return roster.specs[roster.one(model)]
