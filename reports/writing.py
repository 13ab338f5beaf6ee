"""Writing a report's file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from evalcore.errors import InputError

__all__ = ["write_text"]


def write_text(path: Path, text: str) -> Path:
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
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"report {path} can't be written: {error.strerror}") from error
    return path
