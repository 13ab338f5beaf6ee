"""Which runs a leaderboard stands on: for each task one version of it, and never a mixture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from evalcore.errors import InputError
from evalcore.records import EvalRun, ModelSpec
from evalcore.store import Store

__all__ = ["Selection", "select_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Models and the runs that count."""

    models: Mapping[str, ModelSpec]
    """By fingerprint, under names that are unique."""
    runs: Mapping[str, Mapping[str, EvalRun]]
    """By task and fingerprint; all runs of a task share its hash."""
    warnings: tuple[str, ...]


def select_runs(
    store: Store, *, tasks: Sequence[str] | None = None, models: Sequence[str] | None = None
) -> Selection:
    """Choose for each task the version that most models have been run on, the newest of equals.

    Parameters
    ----------
    store
        The workspace.
    tasks
        Names of tasks; all if not given.
    models
        Names of models, or the first digits of their fingerprints; all if not given.

    Raises
    ------
    InputError
        If the workspace has no run, or none of a task or model asked for.
    """
    runs = store.runs()
    if not runs:
        raise InputError(
            f"workspace {store.where} has no results yet; "
            "make some with: parity eval -m MODEL -t TASK"
        )
    given = _specs(store, runs)
    specs = _unique_names(given)
    wanted = frozenset(specs) if models is None else _fingerprints(models, given, specs)
    by_task: dict[str, list[EvalRun]] = defaultdict(list)
    for run in runs:
        if run.spec.fingerprint in wanted:
            by_task[run.task].append(run)
    names = _task_names(tasks, by_task)
    present = {run.spec.fingerprint for task in names for run in by_task[task]}
    order = [fingerprint for fingerprint in specs if fingerprint in present]
    chosen, warnings = {}, []
    for task in names:
        versions = _versions(by_task[task])
        best = _shown_version(versions)
        chosen[task] = {f: versions[best][f] for f in order if f in versions[best]}
        warnings += _left_out(task, versions, best, specs)
    missing = ", ".join(
        specs[fingerprint].name for fingerprint in specs if fingerprint in wanted - present
    )
    if missing:
        warnings.append(f"left out, as they have no result on these tasks: {missing}")
    return Selection(
        models={fingerprint: specs[fingerprint] for fingerprint in order},
        runs=chosen,
        warnings=tuple(warnings),
    )


def _specs(store: Store, runs: Sequence[EvalRun]) -> dict[str, ModelSpec]:
    """Specs of the models that have runs, under the name last given, sorted by name."""
    known = store.models()
    specs = {run.spec.fingerprint: run.spec for run in runs}
    specs = {fingerprint: known.get(fingerprint, spec) for fingerprint, spec in specs.items()}
    return dict(sorted(specs.items(), key=lambda item: (item[1].name, item[0])))


def _unique_names(specs: Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Append the beginning of the fingerprint where different models have one name."""
    names = [spec.name for spec in specs.values()]
    return {
        fingerprint: spec
        if names.count(spec.name) == 1
        else replace(spec, name=f"{spec.name} #{fingerprint[:6]}")
        for fingerprint, spec in specs.items()
    }


def _fingerprints(
    models: Sequence[str], given: Mapping[str, ModelSpec], specs: Mapping[str, ModelSpec]
) -> frozenset[str]:
    found: set[str] = set()
    for model in models:
        matching = {
            fingerprint
            for fingerprint in specs
            if model in (given[fingerprint].name, specs[fingerprint].name)
            or (len(model) >= 6 and fingerprint.startswith(model))
        }
        if not matching:
            names = ", ".join(sorted(spec.name for spec in specs.values()))
            raise InputError(f"model must be one that was evaluated, {names}; got {model!r}")
        found |= matching
    return frozenset(found)


def _task_names(tasks: Sequence[str] | None, present: Mapping[str, object]) -> list[str]:
    for task in tasks or ():
        if task not in present:
            names = ", ".join(sorted(present))
            raise InputError(f"task must be one that was evaluated, {names}; got {task!r}")
    return sorted(present if tasks is None else set(tasks))


def _versions(runs: Sequence[EvalRun]) -> dict[str, dict[str, EvalRun]]:
    """Sort runs, oldest first, by task hash and fingerprint."""
    versions: dict[str, dict[str, EvalRun]] = defaultdict(dict)
    for run in runs:
        versions[run.task_hash][run.spec.fingerprint] = run
    return versions


def _shown_version(versions: Mapping[str, Mapping[str, EvalRun]]) -> str:
    return max(versions, key=lambda some: (len(versions[some]), _newest(versions[some]), some))


def _newest(runs: Mapping[str, EvalRun]) -> str:
    return max(run.created_utc for run in runs.values())


def _left_out(
    task: str,
    versions: Mapping[str, Mapping[str, EvalRun]],
    shown: str,
    specs: Mapping[str, ModelSpec],
) -> list[str]:
    """Say which models miss the version shown, and whether there is a newer one."""
    said = []
    present = {fingerprint for runs in versions.values() for fingerprint in runs}
    missing = sorted(specs[fingerprint].name for fingerprint in present - versions[shown].keys())
    if missing:
        said.append(
            f"{task}: results on other versions of the task, or with another limit, are left out; "
            f"without a result on version {shown[:8]}: {', '.join(missing)}"
        )
    newer = [some for some in versions if _newest(versions[some]) > _newest(versions[shown])]
    if newer:
        latest = max(newer, key=lambda some: _newest(versions[some]))
        said.append(
            f"{task}: shown is version {shown[:8]}, which most models have; the newer version "
            f"{latest[:8]} has {len(versions[latest])} of {len(present)} models"
        )
    return said
