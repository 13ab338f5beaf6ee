"""What MLflow is told of a leaderboard: units of names, tags, parameters and metrics.

Nothing here needs MLflow; :mod:`leaderboards.tracking` writes it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from evalcore.hashing import content_hash
from evalcore.records import Estimate, EvalRun, ModelSpec, Standing
from evalcore.spreadsheet import Cell
from leaderboards.flat import flat_rows, mlflow_name
from leaderboards.records import Leaderboard
from leaderboards.rounding import decimals, standard_error, with_interval
from leaderboards.variants import model_string

__all__ = [
    "MIRROR_VERSION",
    "Point",
    "Unit",
    "finite",
    "metric_keys",
    "model_params",
    "row_units",
    "shared_view",
    "task_units",
]

MIRROR_VERSION = 2
"""Part of every unit's hash: raised when what is written changes, so that it is written again."""

_HEADLINE_TASKS = 18
_SHORT = (
    ("decode_tokens_per_s", "tok_s", 1.0),
    ("prefill_tokens_per_s", "prefill_tok_s", 1.0),
    ("peak_memory_bytes", "mem_gb", 1e9),
    ("size_on_disk_bytes", "disk_gb", 1e9),
    ("api_usd", "usd", 1.0),
)
"""Names as MLflow's users expect them."""
_FORBIDDEN = re.compile(r"[^\w\-. :/]", re.ASCII)
_LONGEST_KEY = 250
_LONGEST_TAG = 8_000
_LONGEST_PARAM = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A metric at a step."""

    key: str
    value: float
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One MLflow run: a leaderboard's row, a model on a task, a rating, or a study."""

    kind: Literal["leaderboard", "task", "rating", "study"]
    name: str
    unit_hash: str
    """Over everything that is written; a unit that is there already is not written again."""
    fingerprint: str | None = None
    """Of the model; None for what is about several."""
    run: EvalRun | None = None
    """What the unit tells of, for a model on a task."""
    points: tuple[Point, ...] = ()
    """Further metrics, which change from step to step."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by file name."""
    rows: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    """Tables by the name of a Parquet file."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    """Finite values under names that MLflow permits."""
    start_ms: int
    """Unix time."""
    end_ms: int
    """Unix time."""


def row_units(leaderboard: Leaderboard, *, board: str, now_ms: int) -> list[Unit]:
    """Describe the leaderboard's rows, best first.

    All rows share a board hash: a change in one makes a new version of all. They begin a
    millisecond apart, the best one last, so that MLflow, which lists the newest run first, shows
    them in order.
    """
    metrics = [_headline(leaderboard, row) for row in flat_rows(leaderboard)]
    places = decimals(standing.rating for standing in leaderboard.ranked)
    tags = [_row_tags(leaderboard, standing, places) for standing in leaderboard.standings]
    board_hash = content_hash([MIRROR_VERSION, board, metrics, tags])
    n_rows = len(leaderboard.standings)
    return [
        Unit(
            kind="leaderboard",
            name=standing.model.name,
            unit_hash=content_hash([board_hash, standing.model.fingerprint]),
            fingerprint=standing.model.fingerprint,
            run=None,
            tags={**own_tags, "parity.board_hash": board_hash},
            params=model_params(standing.model),
            metrics=own_metrics,
            start_ms=now_ms + n_rows - place,
            end_ms=now_ms + n_rows - place,
        )
        for place, (standing, own_tags, own_metrics) in enumerate(
            zip(leaderboard.standings, tags, metrics, strict=True)
        )
    ]


def task_units(leaderboard: Leaderboard, *, board: str) -> list[Unit]:
    """Describe each model's result on each task."""
    names = {item.model.fingerprint: item.model.name for item in leaderboard.standings}
    return [
        _task_unit(run, board=board, model_name=names[fingerprint])
        for column in leaderboard.columns
        for fingerprint, run in column.runs.items()
    ]


def metric_keys(names: Sequence[str]) -> dict[str, str]:
    """Translate names to keys that MLflow permits, distinct for distinct names.

    Letters, digits and ``_ - . space : /`` may stay; a comma becomes a full stop and the rest an
    underscore. A key that another name has already, or that is too long, gets the beginning of its
    name's hash.

    Examples
    --------
    >>> metric_keys(["gsm8k/acc,none", "a+b", "a@b"])
    {'gsm8k/acc,none': 'gsm8k/acc.none', 'a+b': 'a_b', 'a@b': 'a_b.72ced3'}
    """
    keys: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        parts = _FORBIDDEN.sub("_", name.replace(",", ".")).split("/")
        # MLflow takes keys for paths and refuses those that are not in normal form.
        key = "/".join(part if part.strip(". ") else "_" for part in parts)
        if key in taken or len(key) > _LONGEST_KEY:
            key = f"{key[: _LONGEST_KEY - 7]}.{content_hash(name)[:6]}"
        taken.add(key)
        keys[name] = key
    return keys


def shared_view(leaderboard: Leaderboard) -> dict[str, object]:
    """Describe how MLflow's page shows the rows: which columns, in which order.

    This is the state that the page itself keeps when somebody shares a view (MLflow 3.17).
    """
    tasks = list(
        metric_keys([column.key for column in leaderboard.columns[:_HEADLINE_TASKS]]).values()
    )
    compared = {
        f"metrics.`{source.kind}_{what}`": 110
        for source in leaderboard.sources
        for what in ("rating", "win_rate")
        if what == "rating" or leaderboard.reference is not None
    }
    widths = {
        "metrics.`rank`": 70,
        "tags.`parity.rating`": 170,
        "tags.`parity.ranks`": 110,
        "tags.`parity.ties`": 100,
        **compared,
        **{f"metrics.`{key}`": 130 for key in tasks},
        "metrics.`tok_s`": 90,
        "metrics.`mem_gb`": 90,
    }
    return {
        "searchFilter": "tags.`parity.kind`='leaderboard'",
        "orderByKey": "metrics.`rank`",
        "orderByAsc": True,
        "selectedColumns": list(widths),
        "columnOrder": list(widths),
        "columnWidths": widths,
    }


def model_params(spec: ModelSpec) -> dict[str, str]:
    """Describe what a variant is made of."""
    fields = {
        "backend": spec.backend,
        "weights": spec.weights,
        "revision": spec.revision,
        "weights_sha256": spec.sha256,
        "quantization": spec.quantization,
        "dtype": spec.dtype,
        "chat_template": spec.chat_template,
        "adapters": " + ".join(f"{item.weight:g} × {item.name}" for item in spec.adapters),
        "combination": spec.combination.words if spec.combination else None,
        "licence": spec.licence,
        **dict(spec.options),
    }
    return {key: value[:_LONGEST_PARAM] for key, value in fields.items() if value}


def _row_tags(leaderboard: Leaderboard, standing: Standing, places: int) -> dict[str, str]:
    told = _model_tags(standing.model) | _verdict_tags(leaderboard, standing.model.fingerprint)
    if standing.rank is None:
        return told
    low, high = standing.rank_low, standing.rank_high
    return {
        **told,
        "parity.rating": with_interval(standing.rating, places),
        "parity.ranks": str(low) if low == high else f"{low}–{high}",
        "parity.ties": standing.tie_group,
    }


def _verdict_tags(leaderboard: Leaderboard, fingerprint: str) -> dict[str, str]:
    """Say in words how the model compares with the reference, and that it is deprecated."""
    tags = {}
    if fingerprint in leaderboard.deprecated:
        tags["parity.deprecated"] = leaderboard.deprecated[fingerprint].reason[:_LONGEST_TAG]
    if fingerprint in leaderboard.score_versus:
        tags["parity.score_verdict"] = leaderboard.score_versus[fingerprint].verdict
    for source in leaderboard.sources:
        row = source.rows.get(fingerprint)
        if row is not None and row.versus is not None:
            tags[f"parity.{source.kind}_verdict"] = row.versus.verdict
    return tags


def _model_tags(spec: ModelSpec) -> dict[str, str]:
    return {
        "parity.variant_hash": spec.fingerprint,
        "parity.model_string": model_string(spec)[:_LONGEST_TAG],
    }


def _headline(leaderboard: Leaderboard, row: Mapping[str, Cell]) -> dict[str, float]:
    """Name the row's numbers; of the tasks, those of the first ones, whose details are below it."""
    keys = [column.key for column in leaderboard.columns]
    numbers: dict[str, float] = {}
    for name, value in row.items():
        of_task = next((key for key in keys if name == key or name.startswith(f"{key}_")), None)
        is_shown = of_task is None or (name == of_task and name in keys[:_HEADLINE_TASKS])
        if is_shown and isinstance(value, int | float):
            numbers[mlflow_name(name)] = float(value)
    for name, short, unit in _SHORT:
        if isinstance(value := row.get(name), int | float):
            numbers[short] = value / unit
    return finite(numbers)


def _task_unit(run: EvalRun, *, board: str, model_name: str) -> Unit:
    params = {
        "primary_metric": run.primary_metric,
        "n_examples": str(run.n_examples),
        **{key: str(value)[:_LONGEST_PARAM] for key, value in sorted(run.params.items())},
    }
    numbers = finite(_task_numbers(run))
    start_ms = _unix_ms(run.created_utc)
    tags = {
        **_model_tags(run.spec),
        "parity.task_hash": run.task_hash,
        "parity.run_id": run.run_id,
        "parity.code_version": run.code_version,
        **{f"parity.environment.{name}": text for name, text in sorted(run.environment.items())},
        **({"parity.warnings": "; ".join(run.warnings)[:_LONGEST_TAG]} if run.warnings else {}),
    }
    took_s = run.efficiency.prefill_s + run.efficiency.decode_s
    return Unit(
        kind="task",
        name=f"{model_name} · {run.task}",
        unit_hash=content_hash([MIRROR_VERSION, board, model_name, params, numbers, tags]),
        fingerprint=run.spec.fingerprint,
        run=run,
        tags=tags,
        params=params,
        metrics=numbers,
        start_ms=start_ms - round(1000 * took_s),
        end_ms=start_ms,
    )


def _task_numbers(run: EvalRun) -> Iterable[tuple[str, float]]:
    for name, estimate in run.estimates.items():
        yield from _estimate_numbers(f"{run.task}/{name}", estimate)
    work = run.efficiency
    yield "tok_s", work.decode_tokens_per_s
    yield "prefill_tok_s", work.prefill_tokens_per_s


def _estimate_numbers(name: str, estimate: Estimate) -> Iterable[tuple[str, float]]:
    yield name, estimate.value
    yield f"{name}_stderr", standard_error(estimate)
    yield f"{name}_lo", estimate.low
    yield f"{name}_hi", estimate.high
    if estimate.n_unscored:
        yield f"{name}_unscored", float(estimate.n_unscored)


def finite(numbers: Mapping[str, float] | Iterable[tuple[str, float]]) -> dict[str, float]:
    """Translate names, and leave out nan and infinities, which MLflow can't sort or clips."""
    known = dict(numbers)
    keys = metric_keys(list(known))
    return {keys[name]: value for name, value in known.items() if math.isfinite(value)}


def _unix_ms(utc: str) -> int:
    moment = datetime.strptime(utc, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return round(1000 * moment.timestamp())
