"""Folders of transformers as GGUF files: merged in single precision, checked, quantised."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final

from evalcore.errors import InputError, ModelError
from evalcore.records import ModelSpec
from runners.checkpoints import Checkpoint
from runners.gguf.configuration import add_configuration, read_convertible
from runners.gguf.header import FILE_TYPES, GgufHeader, read_header
from runners.gguf.library import last_error, library, require
from runners.gguf.names import ARCHITECTURES
from runners.gguf.rope import read_rope
from runners.gguf.tokenizer import NORMALIZER_KEY, GgufTokenizer
from runners.gguf.vocabulary import CHECK_TEXTS, Vocabulary, read_vocabulary
from runners.gguf.weights import add_tensor, named_tensors
from runners.places import locate
from runners.resolving import resolve

if TYPE_CHECKING:
    from gguf import GGUFWriter

__all__ = [
    "CONVERSION_TYPES",
    "Conversion",
    "beside",
    "convert",
    "split_target",
]

CONVERSION_TYPES: Final = (
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_K_S",
    "Q5_0",
    "Q4_K_M",
    "Q4_K_S",
    "Q4_0",
    "Q3_K_M",
    "Q2_K",
)
"""Types that need no importance matrix."""

_MARK_KEYS: Final[Mapping[str, str]] = {
    "bos": "tokenizer.ggml.bos_token_id",
    "eos": "tokenizer.ggml.eos_token_id",
    "unk": "tokenizer.ggml.unknown_token_id",
    "pad": "tokenizer.ggml.padding_token_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What was written."""

    path: str
    type: str
    size_bytes: int
    n_tensors: int
    row_multiple: int
    """What rows have to be a multiple of to be held in this type."""
    n_fallback: int
    """Matrices whose rows are not, so that llama.cpp chose another type for them: one of nearly the
    same size, or F16 where rows are no multiple of 32."""
    n_checked_texts: int
    """Texts that llama.cpp cuts into the same tokens as transformers does."""


def split_target(
    target: str, *, types: Sequence[str] = CONVERSION_TYPES, default: str = "Q4_K_M"
) -> tuple[Path, str]:
    """Read ``gguf:FILE[?type=Q4_K_M]``.

    Parameters
    ----------
    target
        As written.
    types, default
        What is permitted, and what is taken if nothing is said.

    Raises
    ------
    InputError
        For something else, or an unknown type.
    """
    place, _, query = target.removeprefix("gguf:").partition("?")
    if not target.startswith("gguf:") or not place:
        raise InputError(f"a target must be gguf:FILE[?type={default}]; got {target!r}")
    key, _, kind = query.partition("=")
    if query and (key != "type" or "&" in query):
        raise InputError(f"a target's setting is type; got {query!r}")
    kind = (kind or default).upper()
    if kind not in types:
        raise InputError(f"type must be one of {', '.join(types)}; got {kind!r}")
    path = Path(place).expanduser().absolute()
    if path.is_dir():
        raise InputError(f"a target must be a file; {path} is a folder")
    return path, kind


def convert(
    spec: ModelSpec,
    path: Path,
    kind: str,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Write a model of transformers, with its adapters merged in, as a GGUF file.

    The file appears only when it is whole, and replaces one that is there.

    Parameters
    ----------
    spec
        Of backend ``hf``, not quantised.
    path
        The file.
    kind
        One of :data:`CONVERSION_TYPES`.
    note
        Is told what is being done.

    Raises
    ------
    ModelError
        For an architecture or tokenizer that can't be written, a model that is quantised already,
        or tokens that come out otherwise.
    """
    require()
    spec = resolve(spec)
    if spec.backend != "hf" or spec.quantization:
        raise ModelError(f"only unquantised models of transformers convert; got {spec.name!r}")
    if spec.combination is not None and not spec.combination.is_merged:
        raise ModelError(
            f"only exact sums of adapters convert; got combine={spec.combination.method}"
        )
    checkpoint = read_convertible(locate(spec.weights, revision=spec.revision))
    architecture = ARCHITECTURES[checkpoint.config["model_type"]]
    rope = read_rope(checkpoint, architecture)
    tokenizer, vocabulary = _vocabulary(checkpoint)
    with beside(path) as folder:
        whole = folder / "whole.gguf"
        note("merging and writing")
        first = kind if kind in ("F32", "F16", "BF16") else "F32"
        with _writer(whole, architecture, spec) as writer:
            add_configuration(writer, checkpoint.config)
            rope.describe(writer)
            _add_vocabulary(writer, vocabulary)
            writer.add_file_type(_file_type(first))
            for name, tensor in named_tensors(spec, checkpoint, architecture):
                add_tensor(writer, name, tensor, first)
            if rope.divisors is not None:
                add_tensor(writer, "rope_freqs.weight", rope.divisors, first)
        note("comparing tokens")
        n_texts = _check_written(whole, tokenizer)
        finished = whole
        if first != kind:
            note(f"quantising to {kind}")
            finished = folder / "quantised.gguf"
            _quantise(whole, finished, kind)
        header = read_header(finished)
        os.replace(finished, path)
    return Conversion(
        path=str(path),
        type=kind,
        size_bytes=header.size_bytes,
        n_tensors=len(header.tensors),
        row_multiple=_row_multiple(kind),
        n_fallback=_n_fallback(header, kind),
        n_checked_texts=n_texts,
    )


def _vocabulary(checkpoint: Checkpoint) -> tuple[Any, Vocabulary]:
    from transformers import AutoTokenizer

    from runners.hf.loading import one_line_errors, quiet_transformers

    folder = checkpoint.folder
    with quiet_transformers(), one_line_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    n_tokens = int(checkpoint.config["vocab_size"])
    return tokenizer, read_vocabulary(tokenizer, folder, n_tokens=n_tokens)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a folder on the target's file system, which is gone afterwards, whatever happens.

    Folders of earlier conversions to this target that were killed are removed, too.

    Raises
    ------
    ModelError
        If the target's folder is not there.
    """
    if not path.parent.is_dir():
        raise ModelError(f"folder of the target not found: {path.parent}")
    prefix = f".{path.name}-"
    for left in path.parent.glob(f"{escape(prefix)}*"):
        with _claimed(left) as is_ours:
            if is_ours:
                rmtree(left, ignore_errors=True)
    folder = Path(mkdtemp(prefix=prefix, dir=path.parent))
    try:
        with _claimed(folder):
            yield folder
    finally:
        rmtree(folder, ignore_errors=True)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Lock a folder as long as this process lives; say whether no other one holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = True
    except OSError:
        is_ours = False
    try:
        yield is_ours
    finally:
        os.close(descriptor)


@contextmanager
def _writer(path: Path, architecture: str, spec: ModelSpec) -> Iterator[GGUFWriter]:
    """Give a writer, and write what it was told."""
    from gguf import GGUFWriter

    writer = GGUFWriter(str(path), architecture)
    writer.add_name(spec.name)
    if spec.licence:
        writer.add_license(spec.licence)
    yield writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _file_type(kind: str) -> int:
    return next(number for number, name in FILE_TYPES.items() if name == kind)


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores is not None:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges is not None:
        # GGUF has no empty arrays of strings; a merge of what isn't there never happens.
        writer.add_token_merges(vocabulary.merges or ["\u0120\u0120 \u0120\u0120"])
    for mark, token in vocabulary.marks.items():
        writer.add_uint32(_MARK_KEYS[mark], token)
    writer.add_add_bos_token(vocabulary.adds_bos)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(vocabulary.adds_space)
    if vocabulary.normalizer is not None:
        writer.add_string(NORMALIZER_KEY, vocabulary.normalizer)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _check_written(path: Path, tokenizer: Any) -> int:
    """Load a file, and compare tokens, with the marks in front, of plain texts and of all marks.

    Raises
    ------
    ModelError
        If layers are missing or left over, or with the first text that is cut otherwise.
    """
    lib = library()
    parameters = lib.llama_model_default_params()
    # Mapped and not laid out anew, weights are looked for but not read.
    parameters.load_mode = lib.LLAMA_LOAD_MODE_MMAP
    parameters.use_extra_bufts = False
    last_error()
    model = lib.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise ModelError(f"llama.cpp can't load what was written: {last_error()}")
    try:
        written = GgufTokenizer(model, read_header(path).metadata)
        marks = "".join(str(mark) for mark in tokenizer.all_special_tokens)
        texts = (*CHECK_TEXTS, f"x{marks} y")
        for text in texts:
            wanted = list(tokenizer(text)["input_ids"])
            if (got := written(text)["input_ids"]) != wanted:
                raise ModelError(
                    f"tokenizer can't be written as GGUF: llama.cpp cuts {text[:40]!r} into "
                    f"{got[:12]}, transformers into {wanted[:12]}"
                )
    finally:
        lib.llama_model_free(model)
    return len(texts)


def _quantise(source: Path, target: Path, kind: str) -> None:
    lib = library()
    parameters = lib.llama_model_quantize_default_params()
    parameters.ftype = _file_type(kind)
    parameters.nthread = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    last_error()
    if lib.llama_model_quantize(str(source).encode(), str(target).encode(), parameters) != 0:
        raise ModelError(f"llama.cpp can't quantise to {kind}: {last_error()}")


def _row_multiple(kind: str) -> int:
    """Return how many numbers share a scale, all of which have to be of one row."""
    return 256 if "_K" in kind else 32 if kind.startswith("Q") else 1


def _n_fallback(header: GgufHeader, kind: str) -> int:
    matrices = [tensor for tensor in header.tensors.values() if len(tensor.shape) > 1]
    return sum(tensor.shape[-1] % _row_multiple(kind) != 0 for tensor in matrices)
