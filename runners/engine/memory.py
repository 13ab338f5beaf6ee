"""How much is computed at once: a budget decides, and running out halves it."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = [
    "Governor",
    "free_bytes",
    "free_memory_bytes",
    "give_back_freed_memory",
    "is_out_of_memory",
    "keep_freed_memory",
]

# Of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**30

_NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "ALLOC_FAILED")
"""What torch's CPU allocator, CUDA, the C++ library and cuBLAS say in errors of no class of their
own."""


@dataclass(slots=True, kw_only=True)
class Governor:
    """Says how many rows go through a model at once.

    Only a budget under what `max_rows` need, or memory that runs out, makes it fewer: results
    depend on the number by rounding.
    """

    row_bytes: int
    """What one row of activations takes."""
    scored_bytes: int
    """What a row's logits take in addition."""
    path_bytes: int
    """What keys and values of one token on the present path take."""
    item_bytes: int
    """Of one number; a row's mask has one for each token of its path."""
    budget_bytes: int
    max_rows: int
    """At least 1."""

    @classmethod
    def of(cls, model: Any, *, budget_bytes: int, max_rows: int) -> Governor:
        """Estimate a model's needs from its configuration.

        Of a layer, its input, its residual and the widest of its inner states live at once, the
        latter four times in a gated feed-forward part. Logits are kept as they are and once
        normalised in float32.
        """
        config = model.config.get_text_config()
        hidden, n_heads = int(config.hidden_size), int(config.num_attention_heads)
        inner = _first_number(config, "intermediate_size", "n_inner") or 4 * hidden
        n_keys = _first_number(config, "num_key_value_heads") or n_heads
        size = _first_number(config, "head_dim") or hidden // n_heads
        item = model.dtype.itemsize
        return cls(
            row_bytes=item * (8 * hidden + 4 * inner),
            scored_bytes=int(config.vocab_size) * (item + 8),
            path_bytes=item * 2 * int(config.num_hidden_layers) * n_keys * size,
            item_bytes=item,
            budget_bytes=budget_bytes,
            max_rows=max_rows,
        )

    def room_for(self, n_rows: int, *, n_scored: int, depth: int) -> bool:
        """Whether that many rows, some of them scored, on paths that deep may go through."""
        needed = n_rows * (self.row_bytes + depth * self.item_bytes)
        needed += n_scored * self.scored_bytes + depth * self.path_bytes
        return n_rows <= self.max_rows and needed <= self.budget_bytes

    @property
    def segment_rows(self) -> int:
        """Rows that fit even if all are scored; at least 1."""
        fitting = self.budget_bytes // (self.row_bytes + self.scored_bytes)
        return max(1, min(self.max_rows, fitting))

    def halve(self) -> bool:
        """Allow half as many rows from now on; False if a single row was too much."""
        if self.segment_rows == 1:
            return False
        self.max_rows = self.segment_rows // 2
        return True


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device, as far as the system tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return free_memory_bytes()


def free_memory_bytes() -> int:
    """Return how much main memory is free, as far as the system tells."""
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def keep_freed_memory() -> None:
    """Let the C library keep up to 1 GiB of what is freed, from now on.

    Each layer allocates and frees tens of megabytes. Left to itself, glibc gives them back to the
    system, which fills them with zeros again page by page: 6 to 12 % of the time of scoring on a
    CPU. Does nothing where the C library is another one.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def give_back_freed_memory() -> None:
    """Give back to the system what the C library keeps of freed memory.

    That is what :func:`keep_freed_memory` has let it keep; and in any case its heap, from which it
    takes llama.cpp's buffers once the first have been freed.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _first_number(config: Any, *names: str) -> int | None:
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), None)
