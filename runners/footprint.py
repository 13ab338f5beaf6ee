"""How much memory a model needs, from its number of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["BITS_PER_WEIGHT", "OVERHEAD", "memory_bytes"]

BITS_PER_WEIGHT: Final[Mapping[str, float]] = {
    "fp32": 32.0,
    "bf16": 16.0,
    "Q8_0": 8.5,
    "int8": 8.0,
    "Q4_K_M": 4.8944,
    "nf4": 4.127,
}
"""By form, most precise first. Blocks of Q8_0 have 32 bytes and a scale of 16 bits; Q4_K_M mixes
two types [1]_; NF4 has a quantised scale for each 64 weights [2]_."""

OVERHEAD: Final = 1.2
"""What activations and the cache of keys and values add, as a factor [3]_."""


def memory_bytes(n_parameters: int, form: str) -> int:
    """Estimate what loading and running a model takes: parameters · bits / 8 · 1.2.

    Too little for small models under ``int8`` and ``nf4``, whose embeddings stay as they are, and
    for long contexts or large batches, whose cache grows with them.

    Parameters
    ----------
    n_parameters
        Weights, at least 1.
    form
        One of :data:`BITS_PER_WEIGHT`.

    References
    ----------
    .. [1] llama.cpp, tools/quantize/README.md, bits per weight of Llama 3.1 8B (2025).
    .. [2] Dettmers et al. (2023), QLoRA, section 3: 4 bits, and 0.127 for the scales.
    .. [3] Anthony, Biderman & Schoelkopf (2023), Transformer Math 101, EleutherAI: inference takes
       about 1.2 times the weights.

    Examples
    --------
    >>> round(memory_bytes(6_738_415_616, "bf16") / 2**30, 1)
    15.1
    """
    return round(n_parameters * BITS_PER_WEIGHT[form] / 8 * OVERHEAD)
