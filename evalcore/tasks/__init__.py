"""Tasks: one YAML file and one JSONL file each, bundled or a user's own."""

from __future__ import annotations

from evalcore.tasks.loading import bundled_tasks, load_task, load_tasks

__all__ = ["bundled_tasks", "load_task", "load_tasks"]
