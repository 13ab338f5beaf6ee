"""Runs as records of Every Eval Ever, checked before they are written.

The check is our own, made from the fields of the published schema, version 0.3.0: what is
required, of which type, the values of closed choices, and that a score lies within its bounds. The
schema itself is not part of Parity; a test holds a statement of its rules in JSON Schema.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from evalcore.codec import to_json
from evalcore.errors import InputError
from evalcore.exchange.file_names import file_name
from evalcore.records import Estimate, EvalRun
from evalcore.store import Store

__all__ = ["check_record", "every_eval_ever_files"]

_VERSION = "0.3.0"
_TOP = {
    "schema_version": str,
    "evaluation_id": str,
    "retrieved_timestamp": str,
    "source_metadata": dict,
    "model_info": dict,
    "eval_library": dict,
    "evaluation_results": list,
}
_OPTIONAL_TOP = {"evaluation_timestamp": str}
_SOURCE = {
    "source_type": str,
    "source_organization_name": str,
    "evaluator_relationship": str,
}
_RESULT = {
    "evaluation_name": str,
    "source_data": dict,
    "metric_config": dict,
    "score_details": dict,
}
_DEPLOYMENTS = ("self_deployed", "externally_managed", "unknown")
_AVAILABILITIES = ("open_weights", "closed_weights", "unknown")
_OWN_BACKENDS = ("hf", "gguf", "vllm", "zoo")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")


def every_eval_ever_files(_store: Store, runs: Sequence[EvalRun]) -> Iterator[tuple[str, str]]:
    """Yield ``TASK/DEVELOPER/MODEL/ID.json``, one for each run; ID is a UUID of version 4.

    Votes have no place in the format. Results by category are written like those of all.

    Raises
    ------
    InputError
        If a record breaks the schema's rules; nothing is written of it.
    """
    for run in runs:
        record = _record(run)
        check_record(record)
        developer, _, model = record["model_info"]["id"].rpartition("/")
        folder = [file_name(part) for part in (run.task, developer or "unknown", model)]
        own_id = uuid.UUID(run.run_id, version=4)
        yield "/".join([*folder, f"{own_id}.json"]), to_json(record, indent=2) + "\n"


def _record(run: EvalRun) -> dict[str, Any]:
    when = str(int(datetime.fromisoformat(run.created_utc).timestamp()))
    library, _, version = run.code_version.partition(" ")
    spec = run.spec
    details = {
        "deployment_type": "self_deployed" if spec.backend in _OWN_BACKENDS else "unknown",
        "model_availability": "unknown",
        "fingerprint": spec.fingerprint,
        "backend": spec.backend,
        "quantization": spec.quantization or "none",
        "adapters": ", ".join(f"{a.name}*{a.weight:g}" for a in spec.adapters) or "none",
    }
    return {
        "schema_version": _VERSION,
        "evaluation_id": f"{run.task}/{spec.name}/{when}",
        "evaluation_timestamp": run.created_utc,
        "retrieved_timestamp": when,
        "source_metadata": {
            "source_name": "Parity",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "model_info": {
            "name": spec.name,
            "id": spec.weights if _HUB_ID.fullmatch(spec.weights) else spec.name,
            "additional_details": details,
        },
        "eval_library": {"name": library, "version": version or "unknown"},
        "evaluation_results": [
            _result(run, name, estimate)
            for name, estimate in run.estimates.items()
            if math.isfinite(estimate.value)
        ],
    }


def _result(run: EvalRun, name: str, estimate: Estimate) -> dict[str, Any]:
    metric = name.partition("/")[0]
    return {
        "evaluation_name": f"{run.task}/{name}",
        "source_data": {"dataset_name": run.task, "source_type": "other"},
        "metric_config": {
            "evaluation_description": f"{metric} of {run.task}",
            "metric_name": metric,
            "lower_is_better": not run.higher_is_better.get(metric, True),
            **_bounds(estimate),
        },
        "score_details": {
            "score": estimate.value,
            "details": {"n_unscored": str(estimate.n_unscored)},
            "uncertainty": _uncertainty(estimate),
        },
    }


def _bounds(estimate: Estimate) -> dict[str, Any]:
    """State the bounds of a proportion; those of other metrics are not known here."""
    if not estimate.method.startswith("Wilson"):
        return {}
    return {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0}


def _uncertainty(estimate: Estimate) -> dict[str, Any]:
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return {"num_samples": estimate.n}
    return {
        "confidence_interval": {
            "lower": estimate.low,
            "upper": estimate.high,
            "confidence_level": estimate.confidence_level,
            "method": estimate.method,
        },
        "num_samples": estimate.n,
    }


def check_record(record: Mapping[str, Any]) -> None:
    """Check a record by the rules of the schema that concern what we write.

    Raises
    ------
    InputError
        Naming the field and what is permitted.
    """
    _has(record, _TOP, "record", others=_OPTIONAL_TOP)
    _has(record["source_metadata"], _SOURCE, "source_metadata")
    _one_of(record["source_metadata"], "source_type", ("documentation", "evaluation_run"))
    _one_of(record["source_metadata"], "evaluator_relationship", _RELATIONSHIPS)
    _has(record["model_info"], {"name": str, "id": str}, "model_info")
    details = record["model_info"].get("additional_details")
    _texts(details, "model_info.additional_details")
    _one_of(details, "deployment_type", _DEPLOYMENTS)
    _one_of(details, "model_availability", _AVAILABILITIES)
    _has(record["eval_library"], {"name": str, "version": str}, "eval_library")
    for place, result in enumerate(record["evaluation_results"]):
        where = f"evaluation_results[{place}]"
        _has(result, _RESULT, where)
        _has(result["source_data"], {"dataset_name": str, "source_type": str}, where)
        _one_of(result["source_data"], "source_type", ("url", "hf_dataset", "other"))
        _has(result["metric_config"], {"lower_is_better": bool}, where)
        _has(result["score_details"], {"score": float | int}, where)
        _within(result["score_details"]["score"], result["metric_config"], where)
        _texts(result["score_details"].get("details", {}), f"{where}.score_details.details")
        interval = result["score_details"].get("uncertainty", {}).get("confidence_interval")
        if interval is not None:
            _has(interval, {"lower": float | int, "upper": float | int}, where)


def _has(
    fields: Any, needed: Mapping[str, Any], where: str, *, others: Mapping[str, Any] | None = None
) -> None:
    if not isinstance(fields, Mapping):
        raise InputError(f"{where} must be an object; got {fields!r:.80}")
    for name, kind in needed.items():
        value = fields.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{where}.{name} must be of type {kind}; got {value!r:.80}")
    if others is not None:
        strange = sorted(fields.keys() - needed.keys() - others.keys())
        if strange:
            raise InputError(f"{where} may not have the fields {', '.join(strange)}")


def _one_of(fields: Mapping[str, Any], name: str, permitted: Sequence[str]) -> None:
    if fields.get(name) not in permitted:
        raise InputError(
            f"{name} must be one of {', '.join(permitted)}; got {fields.get(name)!r:.80}"
        )


def _within(score: float, config: Mapping[str, Any], where: str) -> None:
    """Check a score against its bounds, which a continuous one must have."""
    if "score_type" not in config:
        return
    _has(config, {"min_score": float | int, "max_score": float | int}, f"{where}.metric_config")
    low, high = config["min_score"], config["max_score"]
    if not low <= score <= high:
        raise InputError(f"{where}: score must be from {low} to {high}; got {score}")


def _texts(fields: Any, where: str) -> None:
    if not isinstance(fields, Mapping) or not all(isinstance(v, str) for v in fields.values()):
        raise InputError(f"{where} must hold texts alone; got {fields!r:.80}")
