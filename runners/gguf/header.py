"""GGUF files, read and checked without loading a weight.

A file is: the letters ``GGUF``, a version, the numbers of tensors and of metadata entries; the
entries; of each tensor its name, shape, type and place; then, aligned, the tensors' bytes [1]_.
llama.cpp ends the process over some files that are broken, so they are checked here first.

References
----------
.. [1] ggml, docs/gguf.md, version 3.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

from evalcore.errors import ModelError

__all__ = ["FILE_TYPES", "GgufHeader", "GgufTensor", "read_header", "read_tokens"]

FILE_TYPES: Final[Mapping[int, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
}
"""llama.cpp's ``llama_ftype``: the type of most of a file's tensors."""

_SCALARS: Final[Mapping[int, str]] = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_STRING, _ARRAY = 8, 9
_ROPE_SCALINGS: Final = ("none", "linear", "yarn", "longrope")
_TOKENS: Final = "tokenizer.ggml.tokens"
_MOST_ENTRIES = 100_000
_LONGEST_STRING = 1 << 24
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """What the header says of a tensor."""

    type: str
    """Such as ``Q4_K``."""
    shape: tuple[int, ...]
    """As numpy and torch write it: rows first."""
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufHeader:
    """A readable GGUF file whose tensors all lie in it."""

    path: Path
    metadata: Mapping[str, Any]
    """By key; of an array, its length in place of its elements."""
    tensors: Mapping[str, GgufTensor]
    size_bytes: int

    @property
    def architecture(self) -> str:
        """Such as ``llama``."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def window(self) -> int | None:
        """Tokens of context that the model was trained with; None where the file doesn't say."""
        return self.number("context_length")

    @property
    def file_type(self) -> str:
        """The type of most tensors, as the file says or, where it doesn't, as they are."""
        said = FILE_TYPES.get(self.metadata.get("general.file_type", -1))
        if said:
            return said
        matrices = Counter(t.type for t in self.tensors.values() if len(t.shape) > 1)
        return matrices.most_common(1)[0][0] if matrices else "F32"

    def number(self, key: str) -> int | None:
        """Return a whole number of the architecture's own, such as ``block_count``."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None


def read_header(path: Path) -> GgufHeader:
    """Read a file's metadata and the names, shapes and types of its tensors.

    Raises
    ------
    ModelError
        If it can't be read, is no GGUF file, or is truncated.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read(_Reader(file, path, size), path, size)
    except OSError as error:
        raise ModelError(f"GGUF file can't be read: {error.strerror} ({path})") from None


def read_tokens(path: Path) -> list[str]:
    """Read the texts of a file's vocabulary, by number; none where it has none.

    Raises
    ------
    ModelError
        As :func:`read_header`.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            reader = _Reader(file, path, size)
            _, n_entries = _opening(reader, path, size)
            for _ in range(n_entries):
                key, kind = reader.string(), reader.scalar("<I")
                if key == _TOKENS and kind == _ARRAY and reader.scalar("<I") == _STRING:
                    return [reader.string() for _ in range(reader.scalar("<Q"))]
                _value(reader, kind)
    except OSError as error:
        raise ModelError(f"GGUF file can't be read: {error.strerror} ({path})") from None
    return []


class _Reader:
    """Reads numbers and strings in a row, and refuses to read past the end."""

    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self._path = path
        self._size = size

    @property
    def at(self) -> int:
        return self._file.tell()

    def bytes(self, n: int) -> bytes:
        got = self._file.read(n)
        if len(got) < n:
            raise ModelError(
                f"GGUF file is truncated: it ends in its header, after {self._size} bytes "
                f"({self._path})"
            )
        return got

    def scalar(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def string(self) -> str:
        n = self.scalar("<Q")
        self.check(n <= _LONGEST_STRING, "a string is too long")
        return self.bytes(n).decode("utf-8", errors="replace")

    def skip(self, n: int) -> None:
        self.check(self.at + n <= self._size, "an array reaches past its end")
        self._file.seek(n, 1)

    def check(self, holds: bool, reason: str) -> None:
        if not holds:
            raise ModelError(f"GGUF file is broken: {reason} ({self._path})")


def _opening(reader: _Reader, path: Path, size: int) -> tuple[int, int]:
    """Return how many tensors and how many entries of metadata follow."""
    if size < 4 or reader.bytes(4) != b"GGUF":
        raise ModelError(f"not a GGUF file: it doesn't begin with the letters GGUF ({path})")
    version = reader.scalar("<I")
    if version not in (2, 3):
        raise ModelError(f"GGUF version must be 2 or 3; got {version} ({path})")
    n_tensors, n_entries = reader.scalar("<Q"), reader.scalar("<Q")
    reader.check(max(n_tensors, n_entries) <= _MOST_ENTRIES, "it claims too many entries")
    return n_tensors, n_entries


def _read(reader: _Reader, path: Path, size: int) -> GgufHeader:
    n_tensors, n_entries = _opening(reader, path, size)
    metadata = {}
    for _ in range(n_entries):
        key = reader.string()
        metadata[key] = _value(reader, reader.scalar("<I"))
    places = dict(_tensor(reader) for _ in range(n_tensors))
    alignment = metadata.get("general.alignment", 32)
    reader.check(isinstance(alignment, int) and alignment > 0, "its alignment is no number")
    start = -(-reader.at // alignment) * alignment
    for name, (tensor, offset) in places.items():
        end = start + offset + tensor.n_bytes
        if end > size:
            raise ModelError(
                f"GGUF file is truncated: tensor {name} ends at byte {end}, the file at {size} "
                f"({path})"
            )
    scaling = metadata.get(f"{metadata.get('general.architecture')}.rope.scaling.type", "none")
    reader.check(
        scaling in _ROPE_SCALINGS,
        f"rope.scaling.type must be one of {', '.join(_ROPE_SCALINGS)}; got {scaling!r:.80}",
    )
    if metadata.get("split.count", 1) > 1:
        raise ModelError(f"GGUF file is one of several shards; put them into one ({path})")
    return GgufHeader(
        path=path,
        metadata=metadata,
        tensors={name: tensor for name, (tensor, _offset) in places.items()},
        size_bytes=size,
    )


def _value(reader: _Reader, kind: int) -> Any:
    if kind == _STRING:
        return reader.string()
    if kind == _ARRAY:
        return _array_length(reader)
    reader.check(kind in _SCALARS, f"metadata of unknown type {kind}")
    return reader.scalar(_SCALARS[kind])


def _array_length(reader: _Reader) -> int:
    """Read past an array; vocabularies are long, and llama.cpp reads them itself."""
    kind, n = reader.scalar("<I"), int(reader.scalar("<Q"))
    reader.check(kind in _SCALARS or kind == _STRING, f"an array of unknown type {kind}")
    if kind == _STRING:
        for _ in range(n):
            reader.skip(reader.scalar("<Q"))
    else:
        reader.skip(n * struct.calcsize(_SCALARS[kind]))
    return n


def _tensor(reader: _Reader) -> tuple[str, tuple[GgufTensor, int]]:
    name = reader.string()
    n_dimensions = reader.scalar("<I")
    reader.check(n_dimensions <= _MOST_DIMENSIONS, f"tensor {name} has {n_dimensions} dimensions")
    shape = tuple(reader.scalar("<Q") for _ in range(n_dimensions))
    kind, n_in_block, block_bytes = _block(reader.scalar("<I"), partial(reader.check, False))
    reader.check(
        not shape or shape[0] % n_in_block == 0,
        f"tensor {name} has rows of {shape[0] if shape else 0}, which type {kind} can't hold",
    )
    tensor = GgufTensor(
        type=kind, shape=shape[::-1], n_bytes=prod(shape) // n_in_block * block_bytes
    )
    return name, (tensor, reader.scalar("<Q"))


def _block(number: int, refuse: Callable[[str], None]) -> tuple[str, int, int]:
    """Return a tensor type's name, the numbers in a block of it, and the block's bytes."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    if number not in set(GGMLQuantizationType):
        refuse(f"it holds a tensor of unknown quantisation type {number}")
    kind = GGMLQuantizationType(number)
    return kind.name, *GGML_QUANT_SIZES[kind]
