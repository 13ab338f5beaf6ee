"""How the service behaves; made by the command line, held by the arena."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from arena.clock import Clock, now_ms
from arena.records import RaterOrigin
from evalcore.errors import InputError
from evalcore.hashing import content_hash

__all__ = ["SECRET_VARIABLE", "ArenaSettings", "Question", "load_secret"]

SECRET_VARIABLE = "PARITY_ARENA_SECRET"  # noqa: S105
_SECRET_FILE = "arena.key"  # noqa: S105
_LEAST_SECRET = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A scale in words."""

    text: str
    low_text: str = ""
    """What its lowest value means."""
    high_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArenaSettings:
    """Settings of one arena; all replicas have the same."""

    secret: str
    """Signs cookies and links and makes tokens; at least 32 characters."""
    title: str = "Parity arena"
    consent_text: str = ""
    """What a rater agrees to before the first battle, Markdown; empty asks for nothing."""
    instructions: str = ""
    """What a rater reads before the first battle, Markdown; empty shows nothing."""
    questions: Mapping[str, Question] = field(default_factory=dict)
    """What the page says at a scale, by the scale's name; the name itself where there is none."""
    admits: tuple[RaterOrigin, ...] = ("visitor",)
    """Who may vote: anybody, accounts, addressees of a study's links."""
    users_file: Path | None = None
    """Accounts of raters and administrators."""
    oauth_file: Path | None = None
    """Providers to sign in with, as :mod:`arena.oauth` describes."""
    secure_cookies: bool = False
    """True behind HTTPS."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed; nobody's unless named."""
    vote_limit: str = "60/minute"
    """Votes of one rater, in the notation of the limits library; of one address, ten times that."""
    battle_limit: str = "120/minute"
    """Battles, skips and other requests of one rater; of one address, ten times that."""
    login_limit: str = "10/minute"
    """Tries to sign in from one address."""
    limits_storage: str = "memory://"
    """Where limits are counted; a shared URL such as redis://… counts over all replicas."""
    battle_lifetime_s: int = 24 * 3600
    """How long a battle can be voted on."""
    verification_timeout_s: float = 3.0
    """A slower verifier counts as out of order."""
    retention_days: int | None = None
    """After so many days comments, typed prompts and address hashes are forgotten."""
    store_patience_s: float = 5.0
    """How long the writer waits for a locked or absent database before it says so."""
    clock: Clock = now_ms
    """What time it is."""

    @property
    def consent_version(self) -> str:
        """Hash of the consent text; another text asks everybody again. Empty for no text."""
        return content_hash(self.consent_text)[:16] if self.consent_text else ""


def load_secret(workspace: Path) -> str:
    """Return the secret of the environment, else the workspace's own, made when it is not there.

    Raises
    ------
    InputError
        If it is shorter than 32 characters.
    """
    found = os.environ.get(SECRET_VARIABLE)
    where = f"environment variable {SECRET_VARIABLE}"
    if found is None:
        path = workspace / _SECRET_FILE
        where = str(path)
        found = _kept_secret(path)
    if len(found) < _LEAST_SECRET:
        raise InputError(f"{where}: a secret needs {_LEAST_SECRET} characters; has {len(found)}")
    return found


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another replica was faster
            os.link(whole, path)
        whole.unlink()
    return path.read_text(encoding="ascii").strip()
