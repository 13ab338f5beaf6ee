"""Pictures of prompts, small and within the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalcore.images import thumbnail_uri
from evalcore.records import Image

__all__ = ["Picture", "picture"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image, or why it isn't shown."""

    name: str
    uri: str
    """A ``data:`` URI; empty if it isn't shown."""
    reason: str = ""


def picture(image: Image) -> Picture:
    """Make a small copy of a picture, if its file is still what was asked about."""
    name = Path(image.path).name
    uri = thumbnail_uri(image, longest=320)
    if uri is None:
        reason = "gone or changed on the machine that wrote this"
        return Picture(name=name, uri="", reason=reason)
    return Picture(name=name, uri=uri)
