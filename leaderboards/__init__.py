"""Standings, and everything that talks to MLflow."""

from __future__ import annotations

import os
import sys

# MLflow reads these when it is imported: it must not call home, nor keep a command that can't reach
# a tracking server waiting for minutes. Where MLflow came first, as when it loads our plug-in, its
# settings are somebody else's.
if "mlflow" not in sys.modules:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
