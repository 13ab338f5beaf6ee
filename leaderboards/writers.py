"""Who writes to a board in MLflow: one at a time, and a writer that died is no hindrance."""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from evalcore.errors import ParityError

__all__ = ["writing"]

_TAG = "parity.writer"
_EXPIRES_S = 600.0
_RENEWED_S = 120.0
_POLL_S = 0.2
_SETTLE_S = 0.05


@contextmanager
def writing(client: MlflowClient, experiment_id: str, *, wait_s: float = 120.0) -> Iterator[None]:
    """Wait until no other process writes to an experiment, and keep others out.

    MLflow has no locks: the name of the writer is a tag, and of two that set it at once the later
    one wins, which both see when they look again. A writer of this machine whose process is gone,
    or one that has been silent for ten minutes, is no writer any more; one that goes on says so
    every two minutes.

    Raises
    ------
    ParityError
        If another one still writes after ``wait_s`` seconds.
    """
    deadline = time.monotonic() + wait_s
    name, own = f"{platform.node()}/{os.getpid()}/{uuid.uuid4().hex[:8]}", ""
    while True:
        present = _writer(client, experiment_id)
        if own and present == own:
            break
        if not present or not _is_alive(present):
            own = f"{name}/{time.time():.0f}"
            client.set_experiment_tag(experiment_id, _TAG, own)
            time.sleep(_SETTLE_S)
            continue
        if time.monotonic() > deadline:
            raise ParityError(f"another process is writing to this board: {present}; try again")
        own = ""
        time.sleep(_POLL_S)
    done = threading.Event()
    renewing = threading.Thread(
        target=_renew, args=(client, experiment_id, name, done), name="writer", daemon=True
    )
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        if _writer(client, experiment_id).startswith(f"{name}/"):
            client.set_experiment_tag(experiment_id, _TAG, "")


def _renew(client: MlflowClient, experiment_id: str, name: str, done: threading.Event) -> None:
    """Say again and again that the writer goes on, as long as it has not lost its place."""
    while not done.wait(_RENEWED_S):
        with suppress(MlflowException):  # such as a server that is away: the next time may do
            if not _writer(client, experiment_id).startswith(f"{name}/"):
                return
            client.set_experiment_tag(experiment_id, _TAG, f"{name}/{time.time():.0f}")


def _writer(client: MlflowClient, experiment_id: str) -> str:
    return str(client.get_experiment(experiment_id).tags.get(_TAG, ""))


def _is_alive(writer: str) -> bool:
    host, pid, _token, since_s = writer.rsplit("/", 3)
    if time.time() - float(since_s) > _EXPIRES_S:
        return False
    if host != platform.node():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
