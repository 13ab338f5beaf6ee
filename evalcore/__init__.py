"""Records, workspace store, tasks, metrics, judges, statistics and the command table."""

from __future__ import annotations

__version__ = "0.1.0"
