"""How much is computed at once: a budget decides, and running out halves it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

__all__ = ["Governor", "free_bytes", "is_out_of_memory"]

_LEAST_ROWS = 1


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
    budget_bytes: int
    max_rows: int
    """At least 1."""

    def room_for(self, n_rows: int, n_scored: int) -> bool:
        """Whether that many rows, some of them scored, may go through at once."""
        needed = n_rows * self.row_bytes + n_scored * self.scored_bytes
        return n_rows <= self.max_rows and needed <= self.budget_bytes

    @property
    def segment_rows(self) -> int:
        """Rows that fit even if all are scored; at least 1."""
        fitting = self.budget_bytes // (self.row_bytes + self.scored_bytes)
        return max(_LEAST_ROWS, min(self.max_rows, fitting))

    def halve(self) -> bool:
        """Allow half as many rows from now on; False if a single row was too much."""
        if self.segment_rows == _LEAST_ROWS:
            return False
        self.max_rows = max(_LEAST_ROWS, self.max_rows // 2)
        return True


def row_bytes(model: Any) -> tuple[int, int]:
    """Estimate what a row's activations and its logits take at most, at one moment.

    Of a layer, its input, its residual and the widest of its inner states live at once, the latter
    four times in a gated feed-forward part; logits are kept once as they are and normalised once
    in float32.
    """
    config = model.config.get_text_config()
    parameter = next(model.parameters())
    item = parameter.element_size() if parameter.is_floating_point() else 2
    hidden = int(config.hidden_size)
    inner = max(
        int(size)
        for name in ("intermediate_size", "n_inner", "ffn_dim")
        if (size := getattr(config, name, None) or 4 * hidden)
    )
    return item * (8 * hidden + 4 * inner), int(config.vocab_size) * (item + 8)


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device, as far as the system tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
