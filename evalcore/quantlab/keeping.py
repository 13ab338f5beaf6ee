"""What a quantisation lab found, kept in the workspace for reports.

A kept report is derived from stored scores and answers. Its id is the hash of all that was asked:
measuring the same again replaces it, so that it is never older than what it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from evalcore.codec import estimate_from, jsonable
from evalcore.hashing import content_hash
from evalcore.protocols import Task
from evalcore.quantlab.records import FormReport, QuantCheck, QuantReport, Speed, TaskChange
from evalcore.records import Estimate
from evalcore.store import Store

__all__ = ["check_id", "keep_report", "kept_reports", "report_from"]


def check_id(check: QuantCheck, tasks: Sequence[Task]) -> str:
    """Return the hash of what a check asks: forms, tasks, texts and settings."""
    return content_hash(
        {
            "forms": [spec.fingerprint for spec in check.specs],
            "labels": check.labels,
            "tasks": [task.hash for task in tasks],
            "texts": [example.id for example in check.texts],
            "settings": [check.max_tokens, check.n_rounds, check.margin, check.level],
        }
    )


def keep_report(
    store: Store, report: QuantReport, check: QuantCheck, tasks: Sequence[Task]
) -> None:
    """Keep what a check found, in the place of what it found before."""
    store.save_quant_report(check_id(check, tasks), jsonable(report))


def kept_reports(store: Store) -> list[QuantReport]:
    """Return what was found, oldest first."""
    return [report_from(record) for record in store.quant_reports()]


def report_from(record: Mapping[str, Any]) -> QuantReport:
    """Rebuild a report from plain JSON, in which null stands for nan."""
    return QuantReport(**{**record, "forms": tuple(_form(form) for form in record["forms"])})


def _form(record: Mapping[str, Any]) -> FormReport:
    numbers = {key: _number(record[key]) for key in ("disk_bytes", "weights_bytes")}
    speed = record["speed"]
    return FormReport(
        **{
            **record,
            **numbers,
            "kl": _estimate(record["kl"]),
            "same_top": _estimate(record["same_top"]),
            "speed": None if speed is None else _speed(speed),
            "tasks": tuple(_change(change) for change in record["tasks"]),
        }
    )


def _speed(record: Mapping[str, Any]) -> Speed:
    known = {field.name: record[field.name] for field in fields(Speed)}
    return Speed(**{key: item and _estimate(item) for key, item in known.items()})


def _change(record: Mapping[str, Any]) -> TaskChange:
    return TaskChange(
        **{
            **record,
            "score": _estimate(record["score"]),
            "difference": _estimate(record["difference"]),
            "p_value": _number(record["p_value"]),
            "smallest_margin": _number(record["smallest_margin"]),
        }
    )


def _estimate(record: Mapping[str, Any]) -> Estimate:
    """Rebuild an estimate; a missing end beside one that is there is infinite."""
    found = estimate_from(record)
    if math.isnan(found.high) and not math.isnan(found.low):
        return replace(found, high=math.inf)
    if math.isnan(found.low) and not math.isnan(found.high):
        return replace(found, low=-math.inf)
    return found


def _number(value: float | None) -> float:
    return math.nan if value is None else value
