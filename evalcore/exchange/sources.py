"""Files by their bytes, so that a fact can be traced to what it was read from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from evalcore.errors import InputError
from evalcore.exchange.records import SourceFile

__all__ = ["source_file"]

_BLOCK_BYTES = 1 << 20


def source_file(path: Path, form: str) -> SourceFile:
    """Describe a file by its bytes.

    Raises
    ------
    InputError
        If it can't be read.
    """
    digest, n_bytes, n_lines = hashlib.sha256(), 0, 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                n_bytes += len(block)
                n_lines += block.count(b"\n")
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
    return SourceFile(
        path=path, format=form, sha256=digest.hexdigest(), n_bytes=n_bytes, n_lines=n_lines
    )
