"""Names of pages."""

from __future__ import annotations

import re

from evalcore.hashing import content_hash
from evalcore.records import ModelSpec
from leaderboards.records import Column

__all__ = ["PER_PAGE", "judge_page", "model_page", "prompts_page", "study_page", "task_page"]

_UNSAFE = re.compile(r"[^a-z0-9]+")
_LONGEST = 60
PER_PAGE = 25


def model_page(spec: ModelSpec) -> str:
    """Return the address of a variant's page, relative to the site's top."""
    return f"models/{_slug(spec.name)}-{spec.fingerprint[:8]}.html"


def task_page(column: Column, *, examples: int | None = None) -> str:
    """Return the address of a task's page, or of the page with its examples from some number on."""
    part = "" if examples is None else f"-examples-{examples // PER_PAGE + 1}"
    return f"tasks/{_slug(column.task)}-{column.task_hash[:8]}{part}.html"


def prompts_page(start: int) -> str:
    """Return the address of a page with judged prompts."""
    return f"prompts/page-{start // PER_PAGE + 1}.html"


def judge_page(name: str) -> str:
    """Return the address of a judge's page."""
    return f"judges/{_slug(name)}-{content_hash(name)[:8]}.html"


def study_page(name: str) -> str:
    """Return the address of a study's page."""
    return f"studies/{_slug(name)}-{content_hash(name)[:8]}.html"


def _slug(name: str) -> str:
    return _UNSAFE.sub("-", name.lower()).strip("-")[:_LONGEST].strip("-") or "x"
