"""Members of zip archives that other people packed."""

from __future__ import annotations

import zipfile
import zlib
from copy import copy

from evalcore.errors import VotesError
from evalcore.exchange.json_files import LARGEST_JSON

__all__ = ["zip_member"]

_LARGEST_RATIO = 1000
"""How many times larger a member may be than what it takes in the archive, beyond a megabyte: text
shrinks by far less, and a bomb by far more."""
_ZSTANDARD = 93


def zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> bytes:
    """Return a member's bytes, unless it is too large or has been packed to burst.

    Raises
    ------
    VotesError
        Also for a damaged archive.
    """
    bursts = info.file_size > max(1 << 20, _LARGEST_RATIO * info.compress_size)
    if info.file_size > LARGEST_JSON or bursts:
        raise VotesError(
            f"{where}, {info.filename}: {info.file_size} bytes packed into {info.compress_size}; "
            f"at most {LARGEST_JSON >> 20} MiB and {_LARGEST_RATIO} times as much are read"
        )
    try:
        if info.compress_type == _ZSTANDARD:
            return _unpacked(archive, info)
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise VotesError(f"{where}, {info.filename}: damaged: {error}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise VotesError(f"{where}, {info.filename}: can't be unpacked: {error}") from error


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack Zstandard, in which Inspect writes its logs and which zipfile reads from 3.14 on."""
    import pyarrow as pa

    packed = copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    packed.CRC = None  # type: ignore[assignment]
    with archive.open(packed) as file, pa.input_stream(file, compression="zstd") as stream:
        content: bytes = stream.read(info.file_size + 1)
    if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise zipfile.BadZipFile("its checksum is another one")
    return content
