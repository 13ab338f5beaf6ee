"""MLflow's experiments: opened, quietly, with errors in one line; tables of their runs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from evalcore.errors import ParityError

__all__ = ["explained", "log_table", "open_experiment", "quiet"]


@contextmanager
def explained(tracking_uri: str) -> Iterator[None]:
    """Turn what MLflow and its database raise into one line."""
    try:
        _open_file(tracking_uri)
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        said = " ".join(str(error).split())
        if "401" in said or "403" in said:
            said += " (set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)"
        raise ParityError(f"MLflow at {tracking_uri}: {said}") from error


def _open_file(tracking_uri: str) -> None:
    """Fail at once where SQLite can't have its file, which MLflow would try again and again."""
    kind, _, path = tracking_uri.partition(":///")
    if kind == "sqlite" and path and "?" not in path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).open("ab").close()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow from telling on stderr how it makes its tables."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def open_experiment(client: MlflowClient, name: str, artifacts: Path | None) -> str:
    """Find or make an experiment; its id.

    Raises
    ------
    ParityError
        If it was deleted in MLflow.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if artifacts is None else artifacts.resolve().as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise  # no other process has made it meanwhile
    if experiment.lifecycle_stage != "active":
        raise ParityError(
            f"experiment {name} was deleted in MLflow: restore it with mlflow experiments restore "
            f"-x {experiment.experiment_id}, or choose another board"
        )
    return str(experiment.experiment_id)


def log_table(client: MlflowClient, run_id: str, table: pd.DataFrame, name: str) -> None:
    """Write a table as a run's artifact ``NAME.parquet``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        table.to_parquet(path, index=False)
        client.log_artifact(run_id, str(path))
