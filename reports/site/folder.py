"""Writing a folder of files again and again, touching nothing that isn't ours."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from evalcore.errors import InputError
from reports.writing import write_bytes, write_text

__all__ = ["MANIFEST", "Written", "write_folder"]

MANIFEST = ".parity-site.json"
"""Names and hashes of the files that were written."""
_JOURNAL = ".parity-site.journal"
"""The same of a writing that is under way or was cut short, a line for each file before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a folder holds now, and what was done to it."""

    folder: Path
    files: tuple[str, ...]
    n_written: int
    """New or changed; the others were the same already."""
    removed: tuple[str, ...]
    """Written before, and not any more."""
    kept: tuple[str, ...]
    """Written before and not any more, but changed since by somebody, and so left there."""


def write_folder(folder: Path, files: Iterable[tuple[str, bytes]]) -> Written:
    """Write files by their relative names, and remove those of the last time that are not there.

    A file that somebody else put there is neither replaced nor removed.

    Raises
    ------
    InputError
        If a file is in the way, before it is touched, or can't be written.
    """
    _make(folder)
    known = _manifest(folder) | _journal(folder)
    hashes: dict[str, str] = {}
    n_written = 0
    with (folder / _JOURNAL).open("a", encoding="utf-8") as journal:
        for name, content in files:
            new = hashlib.sha256(content).hexdigest()
            path = folder / name
            there = _hash_of(path)
            if there is not None and there != new and name not in known:
                raise InputError(
                    f"{path} is in the way: it was not written by parity report --site; "
                    "choose another folder, or move it"
                )
            if there != new:
                journal.write(json.dumps([name, new]) + "\n")
                journal.flush()
                write_bytes(path, content)
                n_written += 1
            hashes[name] = new
    removed, kept = _clear(folder, {k: v for k, v in known.items() if k not in hashes})
    write_text(folder / MANIFEST, json.dumps({"files": hashes}, indent=1, sort_keys=True) + "\n")
    (folder / _JOURNAL).unlink()
    return Written(
        folder=folder,
        files=tuple(sorted(hashes)),
        n_written=n_written,
        removed=removed,
        kept=kept,
    )


def _clear(folder: Path, old: dict[str, str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    removed, kept = [], []
    for name, before in sorted(old.items()):
        path = folder / name
        there = _hash_of(path)
        if there is None:
            continue
        if there != before:
            kept.append(name)
            continue
        path.unlink()
        removed.append(name)
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return tuple(removed), tuple(kept)


def _manifest(folder: Path) -> dict[str, str]:
    """Read what was written last; names that lead out of the folder are no names of ours."""
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        found = {str(name): str(value) for name, value in files.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no list of a site's files; move it away") from error
    return _within(folder, found)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--site must be a folder that can be made; got {folder}") from error


def _journal(folder: Path) -> dict[str, str]:
    """Read what a writing that was cut short has begun; its last line may be cut, too."""
    try:
        lines = (folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        try:
            name, new = json.loads(line)
        except ValueError:
            continue
        found[str(name)] = str(new)
    return _within(folder, found)


def _within(folder: Path, names: dict[str, str]) -> dict[str, str]:
    inside = folder.resolve()
    return {k: v for k, v in names.items() if (inside / k).resolve().is_relative_to(inside)}


def _hash_of(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
