"""Images of examples, inside a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Picture", "picture"]

_MOST_BYTES = 200_000
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
"""First bytes; drawings (SVG) are left out, as they are programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image, or why it isn't shown."""

    name: str
    uri: str
    """Empty where it isn't shown."""
    reason: str = ""


def picture(path: str) -> Picture:
    """Read an image of up to 200 kB; PNG, JPEG, GIF or WebP, by its first bytes."""
    file = Path(path)
    try:
        if file.stat().st_size > _MOST_BYTES:
            return Picture(name=file.name, uri="", reason="larger than 200 kB")
        content = file.read_bytes()
    except (OSError, ValueError):
        return Picture(name=file.name, uri="", reason="not on the machine that wrote this")
    kind = next((kind for start, kind in _KINDS.items() if content.startswith(start)), None)
    if kind is None:
        return Picture(name=file.name, uri="", reason="no PNG, JPEG, GIF or WebP")
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(name=file.name, uri=f"data:image/{kind};base64,{encoded}")
