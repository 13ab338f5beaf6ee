"""lm-evaluation-harness: results, and the samples that it logs beside them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
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
from evalcore.hashing import content_hash
from evalcore.records import Example, Message

__all__ = ["RESULT_FIELDS", "RUN_SETTINGS", "TASK_SETTINGS", "read_lm_eval"]

RESULT_FIELDS = ("results", "configs", "versions", "n-samples")
"""What a file of results has, since version 0.4."""
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<stamp>\d{4}-\d\d-\d\dT[\d\-.:]+)\.jsonl")
_STAMP = re.compile(r"results_(?P<stamp>.+)\.json")
TASK_SETTINGS = ("num_fewshot", "output_type", "dataset_path", "dataset_name", "test_split")
RUN_SETTINGS = ("limit", "gen_kwargs", "model_args", "model_revision", "model_dtype")
_NOT_METRICS = ("alias", "name", "sample_len", "sample_count")


def read_lm_eval(paths: Sequence[Path], context: ImportContext) -> Iterator[Parcel]:
    """Read ``results_*.json``, and ``samples_*.jsonl`` of the same folder and time.

    Each task becomes a run of the model. Metrics are named ``metric``, or ``metric.filter`` where
    the filter is another one than ``none``. Groups of tasks are left out: they follow from their
    tasks. Log-likelihoods of single requests are left out as well.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    samples = [path for path in paths if path.name.startswith("samples_")]
    left = set(samples)
    for path in paths:
        if path in samples:
            continue
        for results, own in _results(path, context, samples):
            left -= {own}
            yield results_parcel(results, source=path, n_read=_n_lines(results))
    if left:
        lost = min(left)
        raise VotesError(
            f"{lost}: needs its results_*.json of the same folder and time, which names the model"
        )


def _n_lines(results: TaskResults) -> int:
    return max((len(by_example) for by_example in results.scores.values()), default=0)


def _results(
    path: Path, context: ImportContext, samples: Sequence[Path]
) -> Iterator[tuple[TaskResults, Path | None]]:
    content = read_json(path)
    if not isinstance(content, Mapping) or not content.keys() >= set(RESULT_FIELDS):
        has = ", ".join(content) if isinstance(content, Mapping) else type(content).__name__
        raise VotesError(f"{path}: needs the fields {', '.join(RESULT_FIELDS)}; has {has:.300}")
    parts = (*RESULT_FIELDS, "higher_is_better", "task_hashes", "group_subtasks", "config")
    objects = {name: as_object(content.get(name) or {}, f"{path}: {name}") for name in parts}
    content = {**content, **objects}
    subtasks = content["group_subtasks"]
    for task, measured in content["results"].items():
        if not subtasks.get(task):
            results = _task_results(path, content, task, measured, context)
            own = _samples_of(path, task, samples)
            if own is not None:
                _add_samples(results, own, _filters(measured))
            if results.higher_is_better:
                yield results, own


def _task_results(
    path: Path, content: Mapping[str, Any], task: str, measured: Any, context: ImportContext
) -> TaskResults:
    where = f"{path}, results, {task}"
    if not isinstance(measured, Mapping):
        raise VotesError(f"{where}: must be an object of metrics; got {measured!r:.80}")
    config = as_object(content["configs"].get(task) or {}, f"{where}: configs")
    general = content.get("config") or {}
    counts = as_object(content["n-samples"].get(task) or {}, f"{where}: n-samples")
    n = counts.get("effective") or 0
    if not isinstance(n, int):
        raise VotesError(f"{where}: n-samples.effective must be a whole number; got {n!r:.80}")
    results = TaskResults(
        tool=f"lm_eval {content.get('lm_eval_version') or 'unknown'}",
        task=task,
        model=_model(content, path),
        created_utc=utc_text(content.get("date"), otherwise=context.now),
        settings={
            "version": content["versions"].get(task),
            "task_hash": (content.get("task_hashes") or {}).get(task),
            "chat_template_sha": content.get("chat_template_sha"),
            "system_instruction_sha": content.get("system_instruction_sha"),
            **{name: config.get(name) for name in TASK_SETTINGS},
            "n": n,
        },
        params={name: general.get(name) for name in RUN_SETTINGS},
    )
    higher = as_object(
        (content.get("higher_is_better") or {}).get(task) or {}, f"{where}: higher_is_better"
    )
    for key, value in measured.items():
        metric, _, chosen = key.partition(",")
        if metric in _NOT_METRICS or metric.endswith("_stderr"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise VotesError(f"{where}: {key} must be a number; got {value!r:.80}")
        error = measured.get(f"{metric}_stderr,{chosen}")
        stderr = float(error) if isinstance(error, int | float) else None
        name = _metric_name(metric, chosen)
        results.higher_is_better[name] = higher.get(metric) is not False
        results.published[name] = published_estimate(float(value), stderr, n=n, method="lm_eval")
    return results


def _model(content: Mapping[str, Any], path: Path) -> str:
    for name in (content.get("model_name"), (content.get("config") or {}).get("model_args")):
        if isinstance(name, str) and name:
            return name
        if isinstance(name, Mapping) and isinstance(name.get("pretrained"), str):
            return str(name["pretrained"])
    raise VotesError(f"{path}: model_name must be a text; got {content.get('model_name')!r:.80}")


def _metric_name(metric: str, chosen: str) -> str:
    return metric if chosen in ("", "none") else f"{metric}.{chosen}"


def _samples_of(path: Path, task: str, samples: Sequence[Path]) -> Path | None:
    stamp = _STAMP.fullmatch(path.name)
    for other in samples:
        found = _SAMPLES.fullmatch(other.name)
        same = found is not None and stamp is not None and found["stamp"] == stamp["stamp"]
        if same and found is not None and found["task"] == task and other.parent == path.parent:
            return other
    return None


def _add_samples(results: TaskResults, path: Path, filters: Mapping[str, Sequence[str]]) -> None:
    seen: set[tuple[str, str]] = set()
    for row in read_rows(path):
        row.needs("doc_id", "doc", "target", "arguments")
        doc_id = str(row.fields["doc_id"])
        chosen = (
            row.text("filter") if "filter" in row.fields else _next_filter(filters, doc_id, seen)
        )
        if chosen is None or (doc_id, chosen) in seen:
            again = "too often" if chosen is None else f"twice for {chosen}"
            raise VotesError(f"{row.where}: doc_id {doc_id} is there {again}")
        seen.add((doc_id, chosen))
        example = _example(row, results.task)
        known = example.id in results.examples
        results.examples[example.id] = example
        text = _answer(row)
        if text is not None and not known:
            results.answers += imported_answers(
                example, results.model, [text], created_utc=results.created_utc
            )
        for metric in row.texts("metrics") if "metrics" in row.fields else filters.get(chosen, ()):
            value = row.fields.get(metric)
            if isinstance(value, bool | int | float):
                results.add_score(_metric_name(metric, chosen), example.id, float(value))
            elif value is None:
                results.add_score(_metric_name(metric, chosen), example.id, math.nan)


def _filters(measured: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the metrics of each filter, in the order of the results."""
    filters: dict[str, list[str]] = {}
    for key in measured:
        metric, _, chosen = key.partition(",")
        if chosen and not metric.endswith("_stderr"):
            filters.setdefault(chosen, []).append(metric)
    return filters


def _next_filter(
    filters: Mapping[str, Sequence[str]], doc_id: str, seen: Collection[tuple[str, str]]
) -> str | None:
    """Return the filter of a sample that names none, as of versions before 0.4.5.

    They wrote the samples of one filter after those of another, in the order of the results.
    """
    return next((name for name in filters if (doc_id, name) not in seen), None)


def _example(row: Row, task: str) -> Example:
    arguments = _arguments(row)
    prompt = str(arguments[0][0]) if arguments and arguments[0] else ""
    texts = [str(some[1]) for some in arguments if len(some) > 1 and isinstance(some[1], str)]
    content = [task, row.fields["doc_id"], row.fields["doc"], prompt, texts]
    try:
        own_id = content_hash(content)
    except (TypeError, ValueError):
        own_id = content_hash(json.dumps(content, sort_keys=True, default=str))
    return Example(
        id=own_id,
        messages=(Message(role="user", content=prompt),) if prompt else (),
        references=(_target(row.fields["target"]),),
        choices=tuple(texts) if len(texts) > 1 else (),
        metadata={"doc_id": row.fields["doc_id"], "doc": row.fields["doc"]},
    )


def _target(target: Any) -> str:
    return target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)


def _arguments(row: Row) -> list[list[Any]]:
    """Return the requests of a document, of today's objects or of the lists of earlier versions."""
    given = row.fields["arguments"]
    requests = list(given.values()) if isinstance(given, Mapping) else given
    if not isinstance(requests, list):
        raise VotesError(f"{row.where}: arguments must be requests; got {given!r:.80}")
    listed = [list(some.values()) if isinstance(some, Mapping) else some for some in requests]
    if not all(isinstance(some, list | tuple) for some in listed):
        raise VotesError(f"{row.where}: arguments must be requests; got {given!r:.80}")
    return listed


def _answer(row: Row) -> str | None:
    """Return the first answer as the model gave it; None for log-likelihoods.

    Only requests to generate come with settings; without them a number is taken for no answer.
    """
    said = row.fields.get("resps")
    while isinstance(said, list) and said:
        said = said[0]
    has_settings = any(isinstance(x, Mapping) for some in _arguments(row) for x in some[1:])
    is_number = (
        not has_settings
        and isinstance(said, str)
        and re.fullmatch(r"-?(\d+(\.\d+)?(e-?\d+)?|inf|nan)", said)
    )
    return said if isinstance(said, str) and not is_number else None
