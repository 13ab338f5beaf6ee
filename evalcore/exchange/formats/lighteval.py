"""lighteval: results, and the details of each task."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.conversations import prompt_example
from evalcore.exchange.identity import imported_answers
from evalcore.exchange.json_files import as_object, read_json
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_rows
from evalcore.exchange.task_results import (
    TaskResults,
    published_estimate,
    results_parcel,
    utc_text,
)
from evalcore.records import Example

__all__ = ["read_lighteval"]

_FIELDS = ("config_general", "results", "versions", "config_tasks")
_QUERIES = ("query", "full_prompt", "example")
_PARTS = {
    "doc": ("doc", "__doc__"),
    "metric": ("metric", "__metric__", "metrics"),
    "response": ("model_response", "__model_response__"),
}


def read_lighteval(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read ``results_*.json``, and ``details_*.parquet`` of the same time.

    Each task becomes a run of the model; averages over tasks are left out.

    Raises
    ------
    VotesError
        Naming file, row and what is permitted.
    """
    details = [path for path in paths if path.suffix.lower() == ".parquet"]
    left = set(details)
    for path in paths:
        if path not in details:
            stamp = path.stem.removeprefix("results_")
            own = [file for file in details if file.stem.endswith(stamp)]
            for results in _results(path, context):
                for file in own:
                    if _task_of(file, stamp) == _plain(results.task):
                        left.discard(file)
                        _add_details(results, file)
                yield results_parcel(results, source=path, n_read=1)
    if left:
        raise VotesError(
            f"{min(left)}: needs its results_*.json of the same time, which has a task of that name"
        )


def _task_of(path: Path, stamp: str) -> str:
    return _plain(path.stem.removeprefix("details_").removesuffix(stamp).rstrip("_"))


def _plain(name: str) -> str:
    """Write a task's name as file names can have it."""
    return "".join(sign if sign.isalnum() else "_" for sign in name)


def _results(path: Path, context: ImportContext) -> Iterator[TaskResults]:
    content = read_json(path)
    if not isinstance(content, Mapping) or not content.keys() >= set(_FIELDS):
        has = ", ".join(content) if isinstance(content, Mapping) else type(content).__name__
        raise VotesError(f"{path}: needs the fields {', '.join(_FIELDS)}; has {has:.300}")
    for name in _FIELDS:
        as_object(content[name], f"{path}: {name}")
    general = content["config_general"]
    settings = as_object(general.get("model_config") or {}, f"{path}: model_config")
    model = general.get("model_name") or settings.get("model_name")
    if not isinstance(model, str) or not model:
        raise VotesError(f"{path}: config_general.model_name must be a text; got {model!r:.80}")
    stamp = path.stem.removeprefix("results_").replace("-", ":").replace(":", "-", 2)
    for task, measured in content["results"].items():
        if task == "all" or ":_average" in task or "_average|" in task:
            continue
        config = _config(content["config_tasks"], task)
        results = TaskResults(
            tool=f"lighteval {str(general.get('lighteval_sha') or 'unknown')[:12]}",
            task=task,
            model=model,
            created_utc=utc_text(stamp, otherwise=context.now),
            settings={
                "version": content["versions"].get(task),
                "hf_repo": config.get("hf_repo"),
                "hf_subset": config.get("hf_subset"),
                "num_fewshots": config.get("num_fewshots"),
                "max_samples": general.get("max_samples"),
            },
            params={name: general.get(name) for name in ("model_sha", "model_dtype")},
        )
        _add_metrics(results, measured, config, where=f"{path}, results, {task}")
        yield results


def _config(configs: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Return a task's settings, whose key has no number of few-shot examples in some versions."""
    found = configs.get(task) or configs.get(task.rpartition("|")[0]) or {}
    return found if isinstance(found, Mapping) else {}


def _add_metrics(
    results: TaskResults, measured: Any, config: Mapping[str, Any], *, where: str
) -> None:
    if not isinstance(measured, Mapping) or not measured:
        raise VotesError(f"{where}: must be an object of metrics; got {measured!r:.80}")
    given = config.get("effective_num_docs")
    n = given if isinstance(given, int) and given > 0 else 0  # -1 where it was not counted
    higher = _higher_is_better(config)
    for metric, value in measured.items():
        if metric.endswith("_stderr"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VotesError(f"{where}: {metric} must be a number; got {value!r:.80}")
        error = measured.get(f"{metric}_stderr")
        stderr = float(error) if isinstance(error, int | float) else None
        results.higher_is_better[metric] = higher.get(metric) is not False
        results.published[metric] = published_estimate(
            float(value), stderr, n=n, method="lighteval"
        )


def _higher_is_better(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a task's settings say of metrics, of which one entry may describe several."""
    listed = config.get("metric") or config.get("metrics")
    found: dict[str, Any] = {}
    for some in listed if isinstance(listed, list) else []:
        if not isinstance(some, Mapping):
            continue
        name, higher = some.get("metric_name"), some.get("higher_is_better")
        for one in name if isinstance(name, list) else [name]:
            found[str(one)] = higher.get(str(one)) if isinstance(higher, Mapping) else higher
    return found


def _add_details(results: TaskResults, path: Path) -> None:
    for row in read_rows(path):
        parts = {name: _part(row, names) for name, names in _PARTS.items()}
        if not parts["metric"]:
            has = ", ".join(row.fields)
            raise VotesError(f"{row.where}: needs one of metric, __metric__, metrics; has {has}")
        example = _example(row, parts["doc"] or row.fields)
        results.examples[example.id] = example
        said = _said(parts["response"] or row.fields)
        if said is not None:
            results.answers += imported_answers(
                example, results.model, [said], created_utc=results.created_utc
            )
        for metric, value in parts["metric"].items():
            if value is None or isinstance(value, int | float):
                number = math.nan if value is None else float(value)
                results.add_score(str(metric), example.id, number)


def _part(row: Row, names: Sequence[str]) -> Mapping[str, Any]:
    """Return a struct of a row; text where it was too varied for a column: of Python, or JSON."""
    for name in names:
        value = row.fields.get(name)
        if isinstance(value, str):
            value = _read(value)
        if isinstance(value, Mapping):
            return value
    return {}


def _read(text: str) -> Any:
    """Read what a text says; None where it is neither JSON nor a literal of Python."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return read(text)
    return None


def _example(row: Row, doc: Mapping[str, Any]) -> Example:
    query = next(
        (
            doc[name]
            for name in ("query", "full_prompt", "example")
            if isinstance(doc.get(name), str)
        ),
        None,
    )
    if not query:
        raise VotesError(f"{row.where}: has no query, full_prompt or example")
    return prompt_example([query], metadata={"id": str(doc.get("id") or row.line)}, where=row.where)


def _said(response: Mapping[str, Any]) -> str | None:
    for name in ("final_text", "text", "predictions", "result"):
        said = response.get(name)
        while isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, str):
            return said
    return None
