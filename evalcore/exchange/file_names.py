"""Names of models and tasks as parts of paths."""

from __future__ import annotations

import re

from evalcore.hashing import content_hash

__all__ = ["file_name"]

_LONGEST = 80
_STRANGE = re.compile(r"[^\w.+=-]")


def file_name(name: str) -> str:
    """Return a name that any file system takes; two names never become one.

    Examples
    --------
    >>> file_name("meta/llama-7b"), file_name("plain")
    ('meta__llama-7b-c71f1c', 'plain')
    """
    plain = _STRANGE.sub("_", name.replace("/", "__")).lstrip(".") or "_"
    if plain == name and len(name) <= _LONGEST:
        return name
    return f"{plain[:_LONGEST]}-{content_hash(name)[:6]}"
