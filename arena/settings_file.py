"""Settings of a service in one YAML file.

::

    title: Which answer is better?
    consent_text: We keep your votes, not your name or address.
    admits: [visitor]
    trusted_proxies: [10.0.0.2]
    secure_cookies: true
    vote_limit: 60/minute
    retention_days: 90

Every key is a field of :class:`arena.settings.ArenaSettings` and can be left out.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from arena.records import RaterOrigin
from arena.settings import ArenaSettings
from evalcore.errors import InputError
from evalcore.tasks.definition import StrictModel, parse_yaml

__all__ = ["SettingsFile", "with_file"]


class SettingsFile(StrictModel):
    """What a settings file may say; None leaves the default."""

    title: str | None = None
    consent_text: str | None = None
    admits: list[RaterOrigin] | None = None
    oauth_file: str | None = None
    trusted_proxies: list[str] | None = None
    secure_cookies: bool | None = None
    vote_limit: str | None = None
    battle_limit: str | None = None
    login_limit: str | None = None
    limits_storage: str | None = None
    battle_lifetime_s: Annotated[int, Field(gt=0)] | None = None
    verification_timeout_s: Annotated[float, Field(gt=0)] | None = None
    retention_days: Annotated[int, Field(ge=0)] | None = None
    store_patience_s: Annotated[float, Field(gt=0)] | None = None


def with_file(settings: ArenaSettings, path: Path) -> ArenaSettings:
    """Return settings with what a file says.

    Raises
    ------
    InputError
        Naming file, key, value and what is permitted.
    """
    found = parse_yaml(path, SettingsFile, error=InputError).model_dump(exclude_none=True)
    lists = {key: tuple(value) for key, value in found.items() if isinstance(value, list)}
    if "oauth_file" in found:
        found["oauth_file"] = path.parent / found["oauth_file"]
    return replace(settings, **found | lists)
