"""Runs in the layout of lm-evaluation-harness: a file of results for each model, and samples."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from evalcore.codec import jsonable
from evalcore.exchange.file_names import file_name
from evalcore.exchange.formats.lm_eval import RUN_SETTINGS, TASK_SETTINGS
from evalcore.records import Estimate, EvalRun, Example
from evalcore.store import Store

__all__ = ["lm_eval_files"]

_Z = 1.959963984540054
_SHARED = ("chat_template_sha", "system_instruction_sha")


def lm_eval_files(store: Store, runs: Sequence[EvalRun]) -> Iterator[tuple[str, str]]:
    """Yield ``MODEL/results_TIME.json`` and ``MODEL/samples_TASK_TIME.jsonl``.

    Where a model was run on several versions of a task, the newest one is written. A standard error
    is that of a normal interval as wide as ours. Intervals by category are left out.
    """
    by_model: dict[str, dict[str, EvalRun]] = {}
    for run in runs:
        by_model.setdefault(run.spec.fingerprint, {})[run.task] = run
    folders = _folders(store, [next(iter(some.values())) for some in by_model.values()])
    for fingerprint, tasks in by_model.items():
        folder, stamp = folders[fingerprint], _stamp(tasks.values())
        samples = {task: _samples(store, run) for task, run in tasks.items()}
        yield f"{folder}/results_{stamp}.json", _text(_results(tasks, samples, folder))
        for task, lines in samples.items():
            if lines:
                text = "".join(f"{_line(line)}\n" for line in lines)
                yield f"{folder}/samples_{file_name(task)}_{stamp}.jsonl", text


def _folders(store: Store, runs: Sequence[EvalRun]) -> dict[str, str]:
    names = [file_name(run.spec.name) for run in runs]
    return {
        run.spec.fingerprint: name
        if names.count(name) == 1
        else f"{name}-{run.spec.fingerprint[:6]}"
        for run, name in zip(runs, names, strict=True)
    }


def _stamp(runs: Any) -> str:
    newest = max(run.created_utc for run in runs)
    return f"{newest.removesuffix('Z').replace(':', '-')}.000000"


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(jsonable(content), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(jsonable(content), ensure_ascii=False, allow_nan=False)


def _results(
    tasks: Mapping[str, EvalRun], samples: Mapping[str, list[dict[str, Any]]], folder: str
) -> dict[str, Any]:
    first = next(iter(tasks.values()))
    spec = first.spec
    imported = spec.backend == "imported"
    return {
        "results": {task: _measured(run) for task, run in tasks.items()},
        "group_subtasks": {task: [] for task in tasks},
        "configs": {
            task: {"task": task, **_some(run.params, TASK_SETTINGS)} for task, run in tasks.items()
        },
        "versions": {task: run.params.get("version") for task, run in tasks.items()},
        "n-shot": {task: run.params.get("num_fewshot") or 0 for task, run in tasks.items()},
        "higher_is_better": {
            task: {name.partition(".")[0]: up for name, up in run.higher_is_better.items()}
            for task, run in tasks.items()
        },
        "n-samples": {
            task: {"original": run.n_examples, "effective": run.params.get("n") or run.n_examples}
            for task, run in tasks.items()
        },
        "config": {
            "model": spec.backend,
            "model_args": None if imported else f"pretrained={spec.weights}",
            "model_dtype": spec.dtype,
            "model_revision": spec.revision,
            "model_sha": spec.sha256,
            **_some(first.params, RUN_SETTINGS),
        },
        "git_hash": None,
        "date": datetime.fromisoformat(max(r.created_utc for r in tasks.values())).timestamp(),
        "lm_eval_version": first.code_version.removeprefix("lm_eval "),
        "task_hashes": {task: run.params.get("task_hash") for task, run in tasks.items()},
        "model_source": spec.backend,
        "model_name": spec.name,
        "model_name_sanitized": folder,
        **{name: first.params.get(name) for name in _SHARED},
    }


def _some(params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: params[name] for name in names if name in params}


def _measured(run: EvalRun) -> dict[str, Any]:
    measured: dict[str, Any] = {"alias": run.task, "sample_len": run.n_examples}
    for name in run.higher_is_better:
        estimate = run.estimates.get(name)
        if estimate is None or math.isnan(estimate.value):
            continue
        metric, _, chosen = name.partition(".")
        measured[f"{metric},{chosen or 'none'}"] = estimate.value
        measured[f"{metric}_stderr,{chosen or 'none'}"] = _stderr(estimate)
    return measured


def _stderr(estimate: Estimate) -> float | str:
    error = (estimate.high - estimate.low) / (2.0 * _Z)
    return error if math.isfinite(error) and estimate.confidence_level == 0.95 else "N/A"


def _samples(store: Store, run: EvalRun) -> list[dict[str, Any]]:
    """Return a line for each example and filter that the run has scores of."""
    scores: dict[str, dict[str, float]] = {}
    for score in store.scores(run.spec.fingerprint, run.task_hash):
        scores.setdefault(score.example_id, {})[score.metric] = score.value
    examples = store.examples(run.task_hash)
    found = store.conversations(run.spec.fingerprint, [example.id for example in examples])
    answers = {key: chain[0].text for key, chain in found.items() if chain}
    lines = []
    for place, example in enumerate(examples):
        by_filter: dict[str, dict[str, float]] = {}
        for name, value in scores.get(example.id, {}).items():
            metric, _, chosen = name.partition(".")
            by_filter.setdefault(chosen or "none", {})[metric] = value
        lines += [
            _sample(example, place, chosen, values, answers.get(example.id))
            for chosen, values in by_filter.items()
        ]
    return lines


def _sample(
    example: Example, place: int, chosen: str, values: Mapping[str, float], answer: str | None
) -> dict[str, Any]:
    prompt = example.messages[-1].content if example.messages else ""
    document = example.metadata.get("doc", {"id": example.id})
    target = example.references[0] if example.references else ""
    requests = [[prompt, choice] for choice in example.choices] or [[prompt]]
    return {
        "doc_id": example.metadata.get("doc_id", place),
        "doc": document,
        "target": target,
        "arguments": {
            f"gen_args_{at}": {f"arg_{k}": part for k, part in enumerate(request)}
            for at, request in enumerate(requests)
        },
        "resps": [] if answer is None else [[answer]],
        "filtered_resps": [] if answer is None else [answer],
        "filter": chosen,
        "metrics": list(values),
        "doc_hash": _sha256(json.dumps(jsonable(document), indent=2, ensure_ascii=False)),
        "prompt_hash": _sha256(prompt),
        "target_hash": _sha256(target),
        **values,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
