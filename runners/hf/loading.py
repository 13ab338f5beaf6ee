"""Base models from disk to memory, through transformers, accelerate and bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    GenerationConfig,
)

from evalcore.errors import ModelError
from evalcore.records import ModelSpec
from runners.checkpoints import WINDOW_NAMES, read_checkpoint
from runners.hf.four_bit import guard_layers
from runners.hf.merging import merged_copy
from runners.hf.quantization import quantization_config, settle_layers, why_not
from runners.hf.switching import AdapterSwitch
from runners.places import locate

__all__ = ["Base", "load_base", "loading_arguments", "one_line_errors", "quiet_transformers"]

_BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""What is raised over configurations and weights, by their values as they come."""
_NO_LIMIT = 1_000_000
_DEFAULT_WINDOW = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base model in memory."""

    model: Any
    tokenizer: Any
    adapters: AdapterSwitch
    """What is put on it."""
    window: int
    """Most tokens that it reads at once."""
    end_tokens: frozenset[int]
    """Marks by which the checkpoint ends a text."""
    size_on_disk_bytes: int
    processor: Any | None = None
    """Puts pictures and text together, for a model that reads both."""


def load_base(spec: ModelSpec) -> Base:
    """Load a resolved spec's base with its tokenizer.

    Raises
    ------
    ModelError
        If this machine or the installed transformers can't run it, or weights are missing.
    """
    _check_device(spec)
    folder = locate(spec.weights, revision=spec.revision)
    checkpoint = read_checkpoint(folder)
    kind = AutoModelForImageTextToText if checkpoint.reads_images else AutoModelForCausalLM
    processor = None
    with quiet_transformers(), one_line_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if checkpoint.reads_images:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
        with _weights(spec, folder) as weights:
            model, info = kind.from_pretrained(
                weights, output_loading_info=True, **loading_arguments(spec)
            )
    _check_complete(info, folder)
    model.eval()
    if getattr(model, "is_loaded_in_4bit", False):  # also a checkpoint that comes in 4 bits
        settle_layers(model)
        guard_layers(model)
    end_tokens = _end_tokens(model.generation_config)
    # The checkpoint's decoding defaults (a temperature, a repetition penalty) are not ours.
    model.generation_config = GenerationConfig()
    return Base(
        model=model,
        tokenizer=tokenizer,
        adapters=AdapterSwitch(model),
        window=_window(model.config, tokenizer),
        end_tokens=end_tokens,
        size_on_disk_bytes=sum(f.stat().st_size for f in checkpoint.weight_files),
        processor=processor,
    )


@contextmanager
def one_line_errors(folder: Path) -> Iterator[None]:
    """Tell of what transformers raises over a folder that is broken, or not for this machine.

    Raises
    ------
    ModelError
        In one line, with the folder.
    """
    try:
        yield
    except _BROKEN as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"model can't be loaded: {reason} ({folder})") from error


@contextmanager
def _weights(spec: ModelSpec, folder: Path) -> Iterator[Path]:
    """Give the folder of a base's weights: its own, or for merged adapters one that is made."""
    if spec.combination is None or not spec.combination.is_merged:
        yield folder
        return
    bare = replace(spec.base, dtype="float32", quantization=None, device="cpu")
    with merged_copy(load_base(bare), spec.adapters, source=folder) as copy:
        yield copy


def loading_arguments(spec: ModelSpec) -> dict[str, Any]:
    """Return what ``from_pretrained`` of the model's class is called with.

    ``device=auto`` leaves the placement to accelerate: over all GPUs, then main memory. A
    checkpoint that is quantised already says itself how.
    """
    dtype = getattr(torch, spec.dtype or "float32")
    quantization = quantization_config(spec.quantization, dtype)
    return {
        "dtype": dtype,
        "device_map": "auto" if spec.device == "auto" else {"": spec.device},
        # None would hide the checkpoint's own.
        **({} if quantization is None else {"quantization_config": quantization}),
        "local_files_only": True,
        "trust_remote_code": False,
        # Reported, then refused here with the shapes in the message.
        "ignore_mismatched_sizes": True,
    }


def _check_complete(info: Mapping[str, Any], folder: Path) -> None:
    """Refuse a model of which transformers would make up a part."""
    for key, in_file, by_config in sorted(info["mismatched_keys"]):
        shapes = (" x ".join(str(size) for size in shape) for shape in (in_file, by_config))
        raise ModelError(
            "weights do not fit config.json: {} is {} in the file, {} by config.json ({})".format(
                key, *shapes, folder
            )
        )
    for key in sorted(info["missing_keys"]):
        raise ModelError(f"weights do not fit config.json: {key} is missing ({folder})")


def _check_device(spec: ModelSpec) -> None:
    kind = spec.device.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device={spec.device} needs CUDA, which is not here; device=cpu works")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ModelError("device=mps needs Apple's Metal, which is not here; device=cpu works")
    if spec.quantization is None:
        return
    device = spec.device if kind != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    reason = why_not(spec.quantization, device)
    if reason is not None:
        raise ModelError(
            f"quant={spec.quantization} can't be run on {device} here ({reason}); dtype=bf16 works"
        )


def _window(config: Any, tokenizer: Any) -> int:
    text_config = config.get_text_config()
    for name in WINDOW_NAMES:
        window = getattr(text_config, name, None)
        if isinstance(window, int) and window > 0:
            return window
    longest = int(tokenizer.model_max_length)
    return longest if longest < _NO_LIMIT else _DEFAULT_WINDOW


def _end_tokens(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    if ends is None:
        return frozenset()
    return frozenset([ends] if isinstance(ends, int) else ends)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' bars and notes off the terminal; what matters in them is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
