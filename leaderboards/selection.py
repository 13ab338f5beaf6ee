"""Which runs a leaderboard stands on: for each task one version of it, and never a mixture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from evalcore.errors import InputError
from evalcore.records import ModelSpec
from evalcore.store.runs import RunHead
from leaderboards.request import BoardRequest
from leaderboards.roster import Roster
from leaderboards.task_runs import TaskRuns

__all__ = ["Selection", "select_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Models and the runs that count."""

    models: Mapping[str, ModelSpec]
    """By fingerprint, under names that are unique."""
    runs: Mapping[str, TaskRuns]
    """By task; all runs of a task share its hash."""
    warnings: tuple[str, ...]


def select_runs(
    roster: Roster, runs: Sequence[RunHead], request: BoardRequest, *, voted: Collection[str] = ()
) -> Selection:
    """Choose for each task the version that most models have been run on, the newest of equals.

    Parameters
    ----------
    roster
        All models.
    runs
        All runs, oldest first.
    request
        Names of tasks and models, and filters.
    voted
        Fingerprints of models that stay on the board without a run.

    Raises
    ------
    InputError
        For a task or model that there is not, and where filters let no model through.
    """
    specs = roster.specs
    wanted = frozenset(specs)
    if request.models is not None:
        wanted = frozenset().union(*(roster.find(text) for text in request.models))
    admitted = frozenset(name for name in wanted if request.filters.admits(specs[name]))
    if wanted and not admitted:
        said = "; ".join(request.filters.words())
        raise InputError(f"no model is known to pass the filter: {said}")
    by_task: dict[str, list[RunHead]] = defaultdict(list)
    for run in runs:
        if run.fingerprint in admitted:
            by_task[run.task].append(run)
    names = _task_names(request.tasks, by_task)
    present = {run.fingerprint for task in names for run in by_task[task]} | (
        admitted & frozenset(voted)
    )
    order = [fingerprint for fingerprint in specs if fingerprint in present]
    chosen, warnings = {}, []
    for task in names:
        versions = _versions(by_task[task])
        best = _shown_version(versions)
        shown = versions[best]
        chosen[task] = TaskRuns({name: shown[name] for name in order if name in shown})
        warnings += _left_out(task, versions, best, specs)
    missing = ", ".join(
        specs[fingerprint].name for fingerprint in specs if fingerprint in admitted - present
    )
    if missing:
        warnings.append(f"left out, as they have no result on these tasks: {missing}")
    if admitted != wanted:
        said = "; ".join(request.filters.words())
        warnings.append(f"{len(admitted)} of {len(wanted)} models pass the filter: {said}")
    return Selection(
        models={fingerprint: specs[fingerprint] for fingerprint in order},
        runs=chosen,
        warnings=tuple(warnings),
    )


def _task_names(tasks: Sequence[str] | None, present: Mapping[str, object]) -> list[str]:
    for task in tasks or ():
        if task not in present:
            names = ", ".join(sorted(present))
            raise InputError(f"task must be one that was evaluated, {names}; got {task!r}")
    return sorted(present if tasks is None else set(tasks))


def _versions(runs: Sequence[RunHead]) -> dict[str, dict[str, RunHead]]:
    """Sort runs, oldest first, by task hash and fingerprint."""
    versions: dict[str, dict[str, RunHead]] = defaultdict(dict)
    for run in runs:
        versions[run.task_hash][run.fingerprint] = run
    return versions


def _shown_version(versions: Mapping[str, Mapping[str, RunHead]]) -> str:
    if len(versions) == 1:
        return next(iter(versions))
    return max(versions, key=lambda some: (len(versions[some]), _newest(versions[some]), some))


def _newest(runs: Mapping[str, RunHead]) -> str:
    return max(run.created_utc for run in runs.values())


def _left_out(
    task: str,
    versions: Mapping[str, Mapping[str, RunHead]],
    shown: str,
    specs: Mapping[str, ModelSpec],
) -> list[str]:
    """Say which models miss the version shown, and whether there is a newer one."""
    if len(versions) == 1:
        return []
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
