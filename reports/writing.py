"""Writing a report's file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from evalcore.errors import InputError

__all__ = ["write_bytes", "write_text"]


def write_text(path: Path, text: str) -> Path:
    """Write text as UTF-8, see :func:`write_bytes`; what UTF-8 can't hold becomes ``?``."""
    return write_bytes(path, text.encode("utf-8", errors="replace"))


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file at once or not at all: a full disk leaves what was there before.

    Raises
    ------
    InputError
        If the file or its folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"report {path} can't be written: {error.strerror}") from error
    return path
