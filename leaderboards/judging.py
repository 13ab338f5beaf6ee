"""Judging jobs in MLflow: one run for each judge, its verdicts as a Parquet file.

The runs lie in the board's experiment, tagged ``parity.kind=judge``. A job that is there already,
by its tag ``parity.job_hash``, is not written again; one whose verdicts have changed is written
anew, and the earlier run leaves the list.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
from mlflow.entities import Metric, Param, ViewType
from mlflow.tracking import MlflowClient

from evalcore.codec import jsonable
from evalcore.hashing import content_hash
from evalcore.judges.bias.report import BiasReport
from evalcore.records import Estimate
from evalcore.stats.vote_source import named_comparisons, unique_names
from evalcore.store import Store
from leaderboards.experiments import explained, log_table, open_experiment, quiet
from leaderboards.mirror import metric_keys
from leaderboards.writers import writing

__all__ = ["JudgingSync", "sync_judging"]

_VERSION = 1
"""Part of every job's hash: raised when what is written changes."""
_LONGEST_PARAM = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSync:
    """What a synchronisation did."""

    tracking_uri: str
    experiment: str
    experiment_id: str
    n_created: int
    n_unchanged: int


def sync_judging(
    reports: Sequence[BiasReport],
    store: Store,
    *,
    tracking_uri: str,
    board: str = "main",
    artifacts: Path | None = None,
) -> JudgingSync:
    """Mirror judging jobs in MLflow.

    Parameters
    ----------
    reports
        One for each judge.
    store
        The workspace they are of.
    tracking_uri
        Such as ``sqlite:///out/mlflow.db``.
    board
        The experiment is ``parity/BOARD``, that of the leaderboard.
    artifacts
        Folder for files, used when the experiment is new; MLflow's own choice if not given.

    Raises
    ------
    ParityError
        If MLflow can't be reached or refuses, or the experiment was deleted there.
    """
    name = f"parity/{board}"
    n_created = 0
    with quiet(), explained(tracking_uri):
        client = MlflowClient(tracking_uri=tracking_uri)
        experiment_id = open_experiment(client, name, artifacts)
        with writing(client, experiment_id):
            for report in reports:
                table = _verdict_table(store, report.judge)
                comparisons = _comparison_table(store, report.judge)
                job = content_hash(
                    [_VERSION, jsonable(report), _rows_hash(table), _rows_hash(comparisons)]
                )
                present = _runs(client, experiment_id, report.judge)
                if job not in present.values():
                    _write(client, experiment_id, report, job=job, tables=(table, comparisons))
                    n_created += 1
                for run_id, earlier in present.items():
                    if earlier != job:
                        client.delete_run(run_id)
    return JudgingSync(
        tracking_uri=tracking_uri,
        experiment=name,
        experiment_id=experiment_id,
        n_created=n_created,
        n_unchanged=len(reports) - n_created,
    )


def _runs(client: MlflowClient, experiment_id: str, judge: str) -> dict[str, str]:
    """Return the hashes of a judge's jobs by run; those that were cut short have none."""
    runs = client.search_runs(
        [experiment_id],
        filter_string="tags.`parity.kind` = 'judge'",
        run_view_type=ViewType.ACTIVE_ONLY,
        max_results=1_000,
    )
    return {
        run.info.run_id: run.data.tags.get("parity.job_hash", "")
        if run.info.status == "FINISHED"
        else ""
        for run in runs
        if run.data.tags.get("parity.judge") == judge
    }


def _write(
    client: MlflowClient,
    experiment_id: str,
    report: BiasReport,
    *,
    job: str,
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    now = round(1000 * time.time())
    tags = {
        "parity.kind": "judge",
        "parity.judge": report.judge,
        "parity.job_hash": job,
        "mlflow.source.name": "parity",
        "mlflow.note.content": "\n".join(f"- {warning}" for warning in report.warnings)[:8_000],
        **({"parity.flagged": ", ".join(report.flagged)} if report.flagged else {}),
    }
    created = client.create_run(
        experiment_id, start_time=now, tags=tags, run_name=f"judge {report.judge}"
    )
    run_id = str(created.info.run_id)
    values = dict(_metrics(report))
    keys = metric_keys(list(values))
    metrics = [Metric(keys[name], value, now, 0) for name, value in values.items()]
    params = [Param(key, value[:_LONGEST_PARAM]) for key, value in _params(report).items()]
    client.log_batch(run_id, metrics=metrics, params=params)
    for name, table in zip(("verdicts", "comparisons"), tables, strict=True):
        log_table(client, run_id, table, name)
    client.set_terminated(run_id, end_time=now)


def _params(report: BiasReport) -> dict[str, str]:
    orders = "both" if report.consistency.share.n else "one"
    return {
        "judge": report.judge,
        "prompt_versions": ", ".join(report.prompt_versions) or "not known",
        "orders": orders,
        "n_models": str(len({n for c in report.contests for n in (c.model, c.opponent)})),
    }


def _metrics(report: BiasReport) -> Iterator[tuple[str, float]]:
    """Yield finite numbers by name; an estimate with both ends of its interval."""
    yield "n_verdicts", float(report.n_verdicts)
    yield "n_unscored", float(report.n_unscored)
    yield "n_votes", float(report.n_votes)
    if report.cost_usd is not None:
        yield "usd", report.cost_usd
    for name, estimate in _estimates(report):
        for suffix, value in (
            ("", estimate.value),
            ("_low", estimate.low),
            ("_high", estimate.high),
        ):
            if math.isfinite(value) and not math.isnan(estimate.value):
                yield name + suffix, value


def _estimates(report: BiasReport) -> Iterator[tuple[str, Estimate]]:
    yield "position_bias", report.position
    yield "consistency", report.consistency.share
    if report.longer_wins is not None:
        yield "longer_wins", report.longer_wins.judge
    if report.self_preference is not None:
        yield "self_preference", report.self_preference.effect
    if report.ties is not None:
        yield "ties", report.ties.judge
    if report.agreement is not None:
        yield "agreement", report.agreement.with_people.share
        yield "agreement_kappa", report.agreement.with_people.kappa
    if report.calibration is not None:
        yield "calibration_slope", report.calibration.slope
    for style in report.styles:
        yield f"style/{style.feature}", style.effect
    for contest in report.contests:
        pair = f"{contest.model} against {contest.opponent}"
        yield f"win_rate/{pair}", contest.judge
        if contest.at_equal_length is not None:
            yield f"win_rate_at_equal_length/{pair}", contest.at_equal_length
        if contest.fused is not None:
            yield f"win_rate_fused/{pair}", contest.fused


def _verdict_table(store: Store, judge: str) -> pd.DataFrame:
    names = unique_names(store)
    rows = [asdict(verdict) for verdict in store.verdicts(raters=[judge])]
    for row in rows:
        row["model_a"] = names.get(row["model_a"], row["model_a"])
        row["model_b"] = names.get(row["model_b"], row["model_b"])
        row["parts"] = [f"{name}={value:g}" for name, value in row["parts"].items()]
    return pd.DataFrame(rows)


def _comparison_table(store: Store, judge: str) -> pd.DataFrame:
    compared = named_comparisons(store, ("judge", "rule"))
    return pd.DataFrame([asdict(item) for item in compared if item.rater == judge])


def _rows_hash(table: pd.DataFrame) -> str:
    """Hash what was decided, whenever it was."""
    columns = [name for name in ("id", "winner", "value") if name in table]
    return content_hash(jsonable(table[columns].to_dict("list")))
