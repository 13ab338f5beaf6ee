"""Model folders as transformers writes them, read without loading a weight.

The header of a safetensors file is JSON: an eight-byte length, then name → dtype, shape and
offsets. That is enough to find truncated files and shapes that don't fit.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evalcore.errors import ModelError
from evalcore.hashing import content_hash, file_sha256

__all__ = [
    "WINDOW_NAMES",
    "Checkpoint",
    "files_hash",
    "folder_template",
    "read_checkpoint",
    "read_json",
    "read_tensor_headers",
]

TOKENIZER_FILES: Final = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
)
"""Each of them can hold a tokenizer's vocabulary."""

WINDOW_NAMES: Final = (
    "n_positions",
    "max_position_embeddings",
    "n_ctx",
    "max_seq_len",
    "seq_length",
)
"""Keys under which configurations say how many tokens a model reads at once."""

PROCESSOR_FILES: Final = ("processor_config.json", "preprocessor_config.json")
"""Each of them can say how a model's pictures are prepared."""

_FURTHER_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    *PROCESSOR_FILES,
)
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_LONGEST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorHeader:
    """What a safetensors file says about a tensor."""

    dtype: str
    """As in the file, such as ``BF16``."""
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A readable model folder."""

    folder: Path
    config: Mapping[str, Any]
    weight_files: tuple[Path, ...]
    tensors: Mapping[str, TensorHeader]
    """By name; empty for pickled weights, which can't be looked into without loading them."""

    @property
    def sha256(self) -> str:
        """Hash over weights, configuration and tokenizer: names and contents, not the place."""
        return files_hash(self.files)

    @property
    def files(self) -> list[Path]:
        """Weights, configuration and tokenizer: whatever changes an answer."""
        names = (*_FURTHER_FILES, *TOKENIZER_FILES)
        further = [self.folder / name for name in names if (self.folder / name).is_file()]
        return [*self.weight_files, *further]

    @property
    def dtype(self) -> str:
        """The floating-point type of the configuration, else of most tensors, else float32."""
        said = self.config.get("dtype") or self.config.get("torch_dtype")
        if isinstance(said, str) and said in _DTYPES.values():
            return said
        counts = Counter(header.dtype for header in self.tensors.values())
        return _DTYPES.get(counts.most_common(1)[0][0], "float32") if counts else "float32"

    @property
    def reads_images(self) -> bool:
        """Whether it is a model of pictures and text, and says how pictures are prepared."""
        has_processor = any((self.folder / name).is_file() for name in PROCESSOR_FILES)
        return "vision_config" in self.config and has_processor

    @property
    def n_parameters(self) -> int | None:
        """Weights in the files; None where they are pickled or packed by quantisation."""
        if not self.tensors or "quantization_config" in self.config:
            return None
        return sum(math.prod(header.shape) for header in self.tensors.values())

    @property
    def window(self) -> int | None:
        """Most tokens that the model reads at once; None where the configuration doesn't say."""
        text_config = self.config.get("text_config") or self.config
        windows = (text_config.get(name) for name in WINDOW_NAMES)
        return next((n for n in windows if isinstance(n, int) and n > 0), None)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Check that a folder holds a whole model: configuration, tokenizer and weights.

    Raises
    ------
    ModelError
        Naming the file that is missing or broken.
    """
    config = read_json(folder / "config.json", what="model folder")
    if "model_type" not in config:
        raise ModelError(f"config.json has no model_type ({folder / 'config.json'})")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise ModelError(f"no tokenizer ({', '.join(TOKENIZER_FILES)}) in model folder {folder}")
    weight_files = _weight_files(folder)
    tensors: dict[str, TensorHeader] = {}
    for path in weight_files:
        tensors.update(read_tensor_headers(path))
    return Checkpoint(folder=folder, config=config, weight_files=weight_files, tensors=tensors)


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON object from a file of a folder; `what` names the folder in errors."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"no {path.name} in {what} {path.parent}") from None
    except OSError as error:
        raise ModelError(f"{path.name} can't be read: {error.strerror} ({path})") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path.name} is not valid JSON: {error} ({path})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} must hold a JSON object ({path})")
    return content


def folder_template(folder: Path) -> str | None:
    """Return the chat template that a folder of a model or adapter brings along, or None."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8")
    if not (folder / "tokenizer_config.json").is_file():
        return None
    template = read_json(folder / "tokenizer_config.json", what="folder").get("chat_template")
    return template if isinstance(template, str) else None


def read_tensor_headers(path: Path) -> dict[str, TensorHeader]:
    """Read the names, types and shapes of a weight file's tensors.

    Returns
    -------
    dict of str to TensorHeader
        Empty for a pickled file (``.bin``), of which only the frame is checked.

    Raises
    ------
    ModelError
        If the file is broken or shorter than its header says.
    """
    if path.suffix != ".safetensors":
        if not zipfile.is_zipfile(path):
            raise ModelError(f"weight file is truncated or broken: {path}")
        return {}
    size = path.stat().st_size
    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if not 0 < header_size <= min(size - 8, _LONGEST_HEADER_BYTES):
            raise ModelError(f"weight file is truncated or broken: {path} has {size} bytes")
        header_text = file.read(header_size)
    try:
        header = json.loads(header_text)
        header.pop("__metadata__", None)
        expected = 8 + header_size + max((e["data_offsets"][1] for e in header.values()), default=0)
        tensors = {
            name: TensorHeader(dtype=entry["dtype"], shape=tuple(entry["shape"]))
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ModelError(f"weight file is broken: its header can't be read ({path})") from None
    if size != expected:
        raise ModelError(
            f"weight file is truncated or broken: {size} bytes instead of {expected} ({path})"
        )
    return tensors


def files_hash(paths: list[Path]) -> str:
    """Hash over the names and contents of files of one folder, whatever their order."""
    return content_hash(sorted([path.name, file_sha256(path)] for path in paths))


def _weight_files(folder: Path) -> tuple[Path, ...]:
    for name in _WEIGHT_FILES:
        whole = folder / name
        if whole.is_file():
            return (whole,)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(index)
    raise ModelError(f"no weights ({' or '.join(_WEIGHT_FILES)}) in model folder {folder}")


def _shards(index: Path) -> tuple[Path, ...]:
    weight_map = read_json(index, what="model folder").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{index.name} has no weight_map ({index})")
    shards = tuple(index.parent / name for name in sorted(set(weight_map.values())))
    for shard in shards:
        if not shard.is_file():
            raise ModelError(f"weight file {shard.name} of {index.name} is missing ({index})")
    return shards
