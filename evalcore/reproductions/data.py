"""Finding a study's files, wherever below a folder they lie."""

from __future__ import annotations

from pathlib import Path

from evalcore.errors import InputError

__all__ = ["found_file", "found_files"]


def found_files(data: Path, patterns: tuple[str, ...], *, what: str) -> list[Path]:
    """Return the files of the first pattern that has any, sorted.

    Raises
    ------
    InputError
        If there are none, naming the folder, the patterns, and where the files are published.
    """
    if not data.is_dir():
        raise InputError(f"--data must be a folder; {data} is none")
    for pattern in patterns:
        files = sorted(path for path in data.glob(f"**/{pattern}") if path.is_file())
        if files:
            return files
    raise InputError(f"{data}: has no {' or '.join(patterns)}; {what}")


def found_file(data: Path, *patterns: str, what: str) -> Path:
    """Return one file; see :func:`found_files`."""
    return found_files(data, patterns, what=what)[0]
