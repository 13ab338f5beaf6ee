"""Content hashes: the same content has the same key on every machine."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["content_hash", "file_sha256"]

_BLOCK_BYTES = 1 << 20
_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def content_hash(content: Any) -> str:
    """Hash JSON-like content.

    Parameters
    ----------
    content
        Anything that :func:`json.dumps` takes; tuples count as lists and the order of keys does
        not matter.

    Returns
    -------
    str
        32 hexadecimal digits: the first half of the SHA-256 of the canonical JSON text.

    Raises
    ------
    TypeError, ValueError
        For content that has no exact JSON form, such as NaN or an object.

    Examples
    --------
    >>> content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    True
    """
    text = _canonical(content)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits.

    Asked again for a file whose size and modification time are the same, the answer comes from
    memory: a base model under many adapters is read once.
    """
    status = path.stat()
    return _file_sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _file_sha256(path: Path, size: int, mtime_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
