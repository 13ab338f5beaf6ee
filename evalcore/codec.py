"""Records to JSON and back; strict JSON, in which nan and the infinities are null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from evalcore.records import (
    Adapter,
    Combination,
    Efficiency,
    Estimate,
    EvalRun,
    Example,
    Image,
    Message,
    ModelSpec,
    Openness,
)

__all__ = ["estimate_from", "example_from", "jsonable", "run_from", "spec_from", "to_json"]

_EXAMPLE_LISTS = ("follow_ups", "references", "choices")


def jsonable(value: Any) -> Any:
    """Return records, mappings, sequences and sets as plain JSON types; nan, inf as None."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {name: jsonable(getattr(value, name)) for name in _field_names(type(value))}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(jsonable(item) for item in value)
    return value


@lru_cache(maxsize=256)
def _field_names(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return a record or nested structure as strict JSON text."""
    return json.dumps(jsonable(value), ensure_ascii=False, indent=indent, allow_nan=False)


def estimate_from(fields: Mapping[str, Any]) -> Estimate:
    """Rebuild an estimate; null stands for nan."""
    numbers = {
        key: math.nan if fields[key] is None else fields[key] for key in ("value", "low", "high")
    }
    return Estimate(**{**fields, **numbers})


def spec_from(fields: Mapping[str, Any]) -> ModelSpec:
    """Rebuild a model spec."""
    openness = fields.get("openness")
    combination = fields.get("combination")
    return ModelSpec(
        **{
            **fields,
            "adapters": tuple(Adapter(**adapter) for adapter in fields["adapters"]),
            "combination": Combination(**combination) if combination else None,
            "options": tuple((key, value) for key, value in fields["options"]),
            "access": tuple((key, value) for key, value in fields.get("access", ())),
            "openness": None if openness is None else Openness(**openness),
        }
    )


def example_from(fields: Mapping[str, Any]) -> Example:
    """Rebuild an example."""
    lists = {key: tuple(fields.get(key, ())) for key in _EXAMPLE_LISTS}
    messages = tuple(Message(**message) for message in fields["messages"])
    images = tuple(Image(**image) for image in fields.get("images", ()))
    return Example(**{**fields, **lists, "messages": messages, "images": images})


def run_from(fields: Mapping[str, Any], *, spec: ModelSpec | None = None) -> EvalRun:
    """Rebuild a run; of a spec that was rebuilt already, thousands of runs can share one."""
    return EvalRun(
        **{
            **fields,
            "spec": spec or spec_from(fields["spec"]),
            "estimates": {key: estimate_from(item) for key, item in fields["estimates"].items()},
            "efficiency": Efficiency(**fields["efficiency"]),
            "warnings": tuple(fields["warnings"]),
        }
    )
