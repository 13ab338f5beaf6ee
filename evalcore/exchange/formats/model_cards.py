"""Results for a model's card on the hub: today's files of results, and the older model-index."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from evalcore.exchange.file_names import file_name
from evalcore.records import Estimate, EvalRun
from evalcore.store import Store

__all__ = ["model_card_files"]


def model_card_files(_store: Store, runs: Sequence[EvalRun]) -> Iterator[tuple[str, str]]:
    """Yield ``MODEL/.eval_results/TASK.yaml`` and ``MODEL/model-index.yaml``.

    The first has the primary metric of one run, with interval and n in its notes; the second,
    which goes into a card's head, all metrics. A dataset's id is that of the hub where the task
    names one, otherwise the task's name, which has to be put right before publishing.
    """
    by_model: dict[str, dict[str, EvalRun]] = {}
    for run in runs:
        by_model.setdefault(run.spec.fingerprint, {})[run.task] = run
    for fingerprint, tasks in by_model.items():
        spec = next(iter(tasks.values())).spec
        folder = f"{file_name(spec.name)}-{fingerprint[:6]}"
        for task, run in tasks.items():
            if not math.isnan(run.estimates[run.primary_metric].value):
                yield f"{folder}/.eval_results/{file_name(task)}.yaml", _yaml([_entry(run)])
        index = [{"name": spec.name, "results": [_index(run) for run in tasks.values()]}]
        yield f"{folder}/model-index.yaml", _yaml({"model-index": index})


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _dataset(run: EvalRun) -> str:
    for name in ("dataset_path", "hf_repo", "dataset"):
        if isinstance(run.params.get(name), str) and run.params[name]:
            return str(run.params[name])
    return run.task


def _entry(run: EvalRun) -> dict[str, Any]:
    estimate = run.estimates[run.primary_metric]
    return {
        "dataset": {"id": _dataset(run), "task_id": run.task},
        "value": estimate.value,
        "date": run.created_utc[:10],
        "notes": f"{run.primary_metric}, {_interval(estimate)}; {run.code_version}",
    }


def _interval(estimate: Estimate) -> str:
    unscored = f", {estimate.n_unscored} unscored" if estimate.n_unscored else ""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return f"no interval, n = {estimate.n}{unscored}"
    ends = f"{estimate.low:.4g} to {estimate.high:.4g}"
    level = f"{100 * estimate.confidence_level:g} %"
    return f"{level} {ends} ({estimate.method}), n = {estimate.n}{unscored}"


def _index(run: EvalRun) -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": run.task, "type": _dataset(run)},
        "metrics": [
            {"type": name, "value": run.estimates[name].value, "name": name}
            for name in run.higher_is_better
            if name in run.estimates and not math.isnan(run.estimates[name].value)
        ],
    }
