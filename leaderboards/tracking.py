"""The mirror of a leaderboard in MLflow; the workspace stays the source of every number.

====================  ==========================================================================
Parity                MLflow
====================  ==========================================================================
board                 experiment ``parity/BOARD``; its description is the leaderboard
variant               LoggedModel, one for each fingerprint
leaderboard's row     run, tag ``parity.kind=leaderboard``: rating, interval, ranks, speed, memory
model on a task       child run, tag ``parity.kind=task``: every metric with its standard error and
                      interval; the task as dataset; prompts, answers and scores as Parquet file
ratings by votes      run, tag ``parity.kind=rating``: each model's rating, its step being the
                      votes so far; the leaderboard as table, CSV and Markdown
study                 run, tag ``parity.kind=study``: what was asked; once it is locked, win rates,
                      agreement and the votes
====================  ==========================================================================

A unit that is there already, by its tag ``parity.unit_hash``, is not written again. Rows that a
change has made outdated are deleted in MLflow's way: they leave the list and can be restored.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow.entities import (
    Dataset,
    DatasetInput,
    LoggedModelInput,
    Metric,
    Param,
    Run,
    ViewType,
)
from mlflow.entities.logged_model_status import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from evalcore.codec import to_json
from evalcore.errors import InputError
from evalcore.records import EvalRun
from evalcore.store import Store
from leaderboards.experiments import explained, log_table, open_experiment, quiet
from leaderboards.markdown import leaderboard_markdown
from leaderboards.mirror import Unit, model_params, row_units, shared_view, task_units
from leaderboards.mirror_votes import rating_units, study_units
from leaderboards.records import Leaderboard
from leaderboards.samples import load_samples, prompt_text
from leaderboards.studied import study_outcomes
from leaderboards.variants import model_string, slug
from leaderboards.writers import writing

__all__ = ["SyncResult", "sync"]

_LONGEST_NOTE = 20_000
_PAGE = 1_000
_VIEW = "parity"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a synchronisation did."""

    tracking_uri: str
    experiment: str
    experiment_id: str
    n_created: int
    n_unchanged: int
    n_retired: int
    """Rows and results that a change has made outdated."""

    @property
    def page(self) -> str:
        """Path of the leaderboard's page, to be put behind the server's address."""
        return (
            f"/#/experiments/{self.experiment_id}/runs"
            f"?workflowType=machine_learning&viewStateShareKey={_VIEW}"
        )

    @property
    def command(self) -> str:
        """Command that serves a mirror in a file; by its path where it is not on the PATH."""
        beside = Path(sys.executable).with_name("mlflow")
        program = "mlflow" if shutil.which("mlflow") else str(beside)
        return f"{program} ui --backend-store-uri {self.tracking_uri}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    client: MlflowClient
    experiment_id: str
    model_ids: Mapping[str, str]
    """Of the LoggedModels, by fingerprint."""


def sync(
    leaderboard: Leaderboard,
    store: Store,
    *,
    tracking_uri: str,
    board: str = "main",
    artifacts: Path | None = None,
) -> SyncResult:
    """Mirror a leaderboard in MLflow.

    Parameters
    ----------
    leaderboard
        What to mirror; the board's rows become exactly these.
    store
        The workspace it comes from.
    tracking_uri
        Such as ``sqlite:///out/mlflow.db`` or ``http://localhost:5000``.
    board
        The experiment is ``parity/BOARD``.
    artifacts
        Folder for files, used when the experiment is new; MLflow's own choice if not given.

    Raises
    ------
    ParityError
        If MLflow can't be reached or refuses, or the experiment was deleted there.
    """
    if not board.strip():
        raise InputError("board must have a name; got an empty one")
    with quiet(), explained(tracking_uri):
        client = MlflowClient(tracking_uri=tracking_uri)
        experiment_id = open_experiment(client, f"parity/{board}", artifacts)
        with writing(client, experiment_id):
            target = _Target(
                client=client,
                experiment_id=experiment_id,
                model_ids=_logged_models(client, experiment_id, leaderboard),
            )
            n_created, n_unchanged, n_retired = _write_units(
                target, leaderboard, store, board=board
            )
            _describe(target, leaderboard)
    return SyncResult(
        tracking_uri=tracking_uri,
        experiment=f"parity/{board}",
        experiment_id=experiment_id,
        n_created=n_created,
        n_unchanged=n_unchanged,
        n_retired=n_retired,
    )


def _describe(target: _Target, leaderboard: Leaderboard) -> None:
    tags = {
        # This kind shows runs and models; MLflow would take others for traces of applications.
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "rating",
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(leaderboard.rating_higher_is_better),
        f"mlflow.sharedViewState.{_VIEW}": to_json(shared_view(leaderboard)),
        "mlflow.note.content": leaderboard_markdown(leaderboard, max_length=_LONGEST_NOTE),
    }
    present = target.client.get_experiment(target.experiment_id).tags
    for key, value in tags.items():
        if present.get(key) != value:
            target.client.set_experiment_tag(target.experiment_id, key, value)


def _logged_models(
    client: MlflowClient, experiment_id: str, leaderboard: Leaderboard
) -> dict[str, str]:
    """Find or make a LoggedModel for each variant; the ids by fingerprint."""
    found: dict[str, str] = {}
    token = None
    while True:
        page = client.search_logged_models([experiment_id], max_results=50, page_token=token)
        for logged in page:
            found.setdefault(logged.tags.get("parity.variant_hash", ""), logged.model_id)
        token = page.token
        if not token:
            break
    for standing in reversed(leaderboard.standings):  # MLflow lists the newest first
        spec = standing.model
        if spec.fingerprint not in found:
            logged = client.create_logged_model(
                experiment_id,
                name=slug(spec.name),
                model_type="parity variant",
                params=model_params(spec),
                tags={
                    "parity.variant_hash": spec.fingerprint,
                    "parity.model_string": model_string(spec),
                    "mlflow.model.isExternal": "true",
                },
            )
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
            found[spec.fingerprint] = logged.model_id
    return found


def _write_units(
    target: _Target, leaderboard: Leaderboard, store: Store, *, board: str
) -> tuple[int, int, int]:
    """Write what is missing and retire what is outdated; return created, unchanged, retired."""
    now_ms = round(1000 * time.time())
    rows = row_units(leaderboard, board=board, now_ms=now_ms)
    tasks = task_units(leaderboard, board=board)
    others = [
        *rating_units(leaderboard, board=board, now_ms=now_ms),
        *study_units(study_outcomes(store), board=board, now_ms=now_ms),
    ]
    present = _present(target)
    finished = {
        run.data.tags["parity.unit_hash"]: run.info.run_id
        for run in present.values()
        if run.info.status == "FINISHED"  # others were cut short, and are written again
    }
    ids = {}
    for unit in (*reversed(rows), *others):
        ids[unit.unit_hash] = finished.get(unit.unit_hash) or _write(target, unit)
    parents = {unit.fingerprint: ids[unit.unit_hash] for unit in rows}
    for unit in tasks:
        parent = parents[unit.fingerprint]
        run_id = finished.get(unit.unit_hash)
        if run_id is not None and present[run_id].data.tags.get("mlflow.parentRunId") != parent:
            run_id = run_id if _move(target, run_id, parent) else None
        if run_id is None:
            finished.pop(unit.unit_hash, None)
            run_id = _write(target, unit, parent=parent, store=store)
        ids[unit.unit_hash] = run_id
    outdated = present.keys() - set(ids.values())
    for run_id in outdated:
        _retire(target, run_id)
    n_unchanged = len(ids.keys() & finished.keys())
    return len(ids) - n_unchanged, n_unchanged, len(outdated)


def _move(target: _Target, run_id: str, parent: str) -> bool:
    """Put a result below another row; False if somebody has deleted it meanwhile."""
    try:
        target.client.set_tag(run_id, "mlflow.parentRunId", parent)
    except MlflowException:
        if target.client.get_run(run_id).info.lifecycle_stage == "active":
            raise
        return False
    return True


def _retire(target: _Target, run_id: str) -> None:
    """Delete a run, unless somebody has done so meanwhile."""
    if target.client.get_run(run_id).info.lifecycle_stage == "active":
        target.client.delete_run(run_id)


def _present(target: _Target) -> dict[str, Run]:
    """Return the experiment's rows and results by run id; runs of other kinds are not ours."""
    runs: dict[str, Run] = {}
    token = None
    while True:
        page = target.client.search_runs(
            [target.experiment_id],
            filter_string="tags.`parity.unit_hash` != ''",
            run_view_type=ViewType.ACTIVE_ONLY,
            max_results=_PAGE,
            page_token=token,
        )
        runs |= {run.info.run_id: run for run in page}
        token = page.token
        if not token:
            return runs


def _write(
    target: _Target, unit: Unit, *, parent: str | None = None, store: Store | None = None
) -> str:
    """Write a unit in a few calls, each many times dearer than what it carries; return its id."""
    client = target.client
    tags = {
        **unit.tags,
        "parity.kind": unit.kind,
        "parity.unit_hash": unit.unit_hash,
        "mlflow.source.name": "parity",
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
    created = client.create_run(
        target.experiment_id, start_time=unit.start_ms, tags=tags, run_name=unit.name
    )
    run_id = str(created.info.run_id)
    model_id = None if unit.fingerprint is None else target.model_ids[unit.fingerprint]
    dataset = None if unit.run is None else _dataset(unit.run)
    if model_id is not None:
        client.log_inputs(
            run_id,
            datasets=[] if dataset is None else [DatasetInput(dataset)],
            models=[LoggedModelInput(model_id)],
        )
    metrics = [
        Metric(
            key=key,
            value=value,
            timestamp=unit.end_ms,
            step=0,
            model_id=model_id,
            dataset_name=None if dataset is None else dataset.name,
            dataset_digest=None if dataset is None else dataset.digest,
            run_id=run_id,
        )
        for key, value in unit.metrics.items()
    ]
    metrics += [Metric(at.key, at.value, unit.end_ms, at.step) for at in unit.points]
    params = [Param(key, value) for key, value in unit.params.items()]
    client.log_batch(run_id, metrics=metrics, params=params)  # which MLflow's client parts
    if unit.run is not None and store is not None:
        _log_samples(client, run_id, unit.run, store)
    for name, text in unit.files.items():
        client.log_text(run_id, text, name)
    for name, rows in unit.rows.items():
        log_table(client, run_id, pd.DataFrame(rows), name)
    client.set_terminated(run_id, end_time=unit.end_ms)
    return run_id


def _dataset(run: EvalRun) -> Dataset:
    return Dataset(
        name=run.task,
        digest=run.task_hash,
        source_type="parity",
        source=to_json({"task": run.task, "task_hash": run.task_hash}),
        profile=to_json({"n_examples": run.n_examples}),
    )


def _log_samples(client: MlflowClient, run_id: str, run: EvalRun, store: Store) -> None:
    table = pd.DataFrame(
        {
            "example_id": sample.example.id,
            "category": sample.example.category,
            "prompt": prompt_text(sample.example),
            "references": list(sample.example.references),
            "answer": sample.answer,
            **sample.values,
        }
        for sample in load_samples(store, run)
    )
    log_table(client, run_id, table, "samples")
