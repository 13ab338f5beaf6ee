"""Pictures that prompts speak of: checked when a file is read, kept by place and hash."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from evalcore.errors import InputError, TaskError
from evalcore.records import Example, Image

__all__ = [
    "MEDIA_TYPES",
    "check_no_images",
    "data_uri",
    "image_bytes",
    "read_image",
    "thumbnail_uri",
]

MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg"}
"""What is read, by pillow's names."""

_MOST_PIXELS: Final = 64_000_000


def read_image(path: Path, *, where: str) -> Image:
    """Check that a file is a whole picture, and say what it is.

    Parameters
    ----------
    path
        PNG or JPEG.
    where
        File and line that name it, for errors.

    Raises
    ------
    TaskError
        For a missing file, one that is no PNG or JPEG, is cut off, or has over 64 million pixels.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise TaskError(f"{where}: image {path}: {reason}") from None
    reason = _why_unreadable(content)
    if reason is not None:
        raise TaskError(f"{where}: image {path}: {reason}")
    return Image(path=str(path.absolute()), sha256=hashlib.sha256(content).hexdigest())


def image_bytes(image: Image) -> bytes:
    """Return a picture's bytes, which must be those that were checked.

    Raises
    ------
    InputError
        If the file is gone or has changed since.
    """
    try:
        content = Path(image.path).read_bytes()
    except OSError as error:
        raise InputError(f"image {image.path} can't be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != image.sha256:
        raise InputError(f"image {image.path} has changed since its task was read")
    return content


def data_uri(image: Image) -> str:
    """Return a picture as a ``data:`` URI; InputError as :func:`image_bytes`."""
    content = image_bytes(image)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def check_no_images(examples: Iterable[Example], *, who: str) -> None:
    """Refuse prompts with images where they would be left out without a word.

    Raises
    ------
    InputError
        Naming the prompt, and who shows no images.
    """
    for example in examples:
        if example.images:
            asked = example.messages[-1].content[:60]
            raise InputError(f"{who} shows no images, and the prompt {asked!r} has some")


def thumbnail_uri(image: Image, *, longest: int = 160) -> str | None:
    """Return a small JPEG of a picture as a ``data:`` URI; None if its file is gone or changed.

    Parameters
    ----------
    image
        As :func:`read_image` returned it.
    longest
        Pixels of the longer side, at most.
    """
    import PIL.Image

    try:
        content = image_bytes(image)
    except InputError:
        return None
    small = io.BytesIO()
    with PIL.Image.open(io.BytesIO(content)) as picture:
        picture.thumbnail((longest, longest))
        picture.convert("RGB").save(small, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def _why_unreadable(content: bytes) -> str | None:
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(content), formats=tuple(MEDIA_TYPES)) as picture:
            width, height = picture.size
            if width * height > _MOST_PIXELS:
                return f"at most {_MOST_PIXELS:,} pixels are read; it has {width} x {height}"
            # A JPEG is read to its end, but decoded at a fraction of its size.
            picture.draft("L", (64, 64))
            picture.load()
    except PIL.UnidentifiedImageError:
        return "is no PNG or JPEG picture"
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        return f"is broken: {' '.join(str(error).split())}"
    return None
