"""Log-probabilities read from logits, a few rows at a time where that keeps them near the core."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["Booleans", "Floats", "read_scores"]

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

_CPU_ROWS = 32
"""Normalised together on a CPU: all at once, 1,500 rows of 8,192 logits take three times as long,
since they come from memory anew for each step."""


def read_scores(
    logits: torch.Tensor, rows: NDArray[np.int64], targets: NDArray[np.int64]
) -> tuple[Floats, Booleans]:
    """Read what is scored.

    Parameters
    ----------
    logits : (n_rows, n_vocabulary)
        Of any floating type; normalised in float32.
    rows : (n_scored,)
        Where each score is read, in any order and more than once.
    targets : (n_scored,)
        Token whose probability is asked for.

    Returns
    -------
    Floats, Booleans : (n_scored,) each
        Log-probabilities, and whether the target is what ``argmax`` gives.
    """
    size = _CPU_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    order = np.argsort(rows, kind="stable")
    edges = np.searchsorted(rows[order], np.arange(0, len(logits) + size, size))
    logprobs, is_greedy = np.empty(len(rows)), np.empty(len(rows), bool)
    for block, (start, stop) in enumerate(pairwise(edges.tolist())):
        here = order[start:stop]
        if len(here) == 0:
            continue
        first = block * size
        part = logits[first : first + size]
        row = torch.from_numpy(rows[here] - first).to(part.device)
        target = torch.from_numpy(targets[here]).to(part.device)
        found = torch.log_softmax(part.float(), dim=-1)[row, target]
        logprobs[here] = found.double().cpu().numpy()
        is_greedy[here] = _is_greedy(part, row, target).cpu().numpy()
    return logprobs, is_greedy


def _is_greedy(logits: torch.Tensor, row: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # The largest number is found much faster than its place, which matters only among equals.
    found = logits[row, target] >= logits.amax(-1)[row]
    at = found.nonzero()[:, 0]
    found[at] = logits[row[at]].argmax(-1) == target[at]
    return found
