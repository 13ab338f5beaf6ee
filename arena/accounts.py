"""Accounts in a users file: one line each, ``role:name:salt:hash``, passwords hashed by scrypt.

References
----------
.. [1] Percival, C., Josefsson, S. (2016). The scrypt Password-Based Key Derivation Function.
   RFC 7914.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from evalcore.errors import InputError

__all__ = ["Role", "User", "Users", "add_user", "load_users"]

Role = Literal["rater", "admin"]

# 16 MiB and about 50 ms a try.
_N, _R, _P = 2**14, 8, 1
_LEAST_PASSWORD = 10
_FORM = "role:name:salt:hash, as parity arena --add-user writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account."""

    name: str
    role: Role
    salt: bytes
    password_hash: bytes


class Users:
    """The accounts of a file."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = users
        self._stranger = User(
            name="", role="rater", salt=secrets.token_bytes(16), password_hash=bytes(32)
        )

    def sign_in(self, name: str, password: str) -> User | None:
        """Return the account if the password is right; as slow for names that aren't there."""
        user = self._users.get(name, self._stranger)
        found = hash_password(password, user.salt)
        right = hmac.compare_digest(found, user.password_hash)
        return user if right and user is not self._stranger else None

    def role(self, name: str) -> Role | None:
        """Return an account's role now; None if the account was taken out of the file."""
        user = self._users.get(name)
        return None if user is None else user.role


def hash_password(password: str, salt: bytes) -> bytes:
    """Return scrypt of a password, 32 bytes."""
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=_N, r=_R, p=_P, maxmem=2**26, dklen=32)


def load_users(path: Path) -> Users:
    """Read a users file; empty lines and lines that begin with # are left out.

    Raises
    ------
    InputError
        If the file can't be read or a line is not of the form.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"users file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"users file {path} is not UTF-8 text (byte {error.start})") from error
    users: dict[str, User] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            user = _parse(line.strip(), where=f"{path}, line {number}")
            if user.name in users:
                raise InputError(f"{path}, line {number}: {user.name!r} is there twice")
            users[user.name] = user
    return Users(users)


def add_user(path: Path, name: str, password: str, *, role: Role) -> None:
    """Append an account to a users file, which is made readable for its owner alone.

    Raises
    ------
    InputError
        If the name is taken or has a colon, or the password is shorter than 10 characters.
    """
    if not name or ":" in name or name != name.strip() or name.startswith("#"):
        raise InputError(f"name must have no colon, # in front or spaces around it; got {name!r}")
    if len(password) < _LEAST_PASSWORD:
        raise InputError(f"password needs {_LEAST_PASSWORD} characters; has {len(password)}")
    if path.exists() and load_users(path).role(name) is not None:
        raise InputError(f"{path}: {name!r} is there already")
    salt = secrets.token_bytes(16)
    line = ":".join([role, name, salt.hex(), hash_password(password, salt).hex()])
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def _parse(line: str, *, where: str) -> User:
    parts = line.split(":")
    if len(parts) != 4 or parts[0] not in get_args(Role):
        raise InputError(f"{where}: must be {_FORM}, role one of {', '.join(get_args(Role))}")
    role, name, salt, password_hash = parts
    try:
        return User(
            name=name,
            role="admin" if role == "admin" else "rater",
            salt=bytes.fromhex(salt),
            password_hash=bytes.fromhex(password_hash),
        )
    except ValueError as error:
        raise InputError(f"{where}: salt and hash must be hexadecimal; {error}") from error
