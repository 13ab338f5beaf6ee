"""Standings, and everything that talks to MLflow."""

from __future__ import annotations

import os

# MLflow reads these when it is imported: it must not call home, nor keep a command that can't reach
# a tracking server waiting for minutes.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
