"""What llama.cpp holds possible at each place of a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from evalcore.protocols import Distributions
from runners.gguf.context import Batch, Context, ContextSize

__all__ = ["text_distributions", "text_size"]

_BATCH_TOKENS = 128


def text_size(longest: int) -> ContextSize:
    """Return what one text at a time needs room for, with the logits of a whole batch."""
    return ContextSize(
        n_cells=max(longest, _BATCH_TOKENS),
        n_sequences=1,
        n_batch=_BATCH_TOKENS,
        n_outputs=_BATCH_TOKENS,
        shares_cells=False,
    )


def text_distributions(
    context: Context, tokens: Sequence[int], *, first_token: int
) -> Distributions:
    """Read a text, which fits the window, in a context of :func:`text_size`."""
    context.clear()
    inputs = [first_token, *tokens][: len(tokens)]
    parts = []
    for start in range(0, len(inputs), _BATCH_TOKENS):
        some = inputs[start : start + _BATCH_TOKENS]
        n = len(some)
        batch = Batch(
            tokens=np.array(some, np.int32),
            positions=np.arange(start, start + n, dtype=np.int32),
            sequences=np.zeros(n, np.int32),
            n_sequences=np.ones(n, np.int32),
            is_read=np.ones(n, np.int8),
        )
        # Logits are overwritten by the next evaluation; their logarithms are a copy.
        logits = torch.from_numpy(context.evaluate(batch))
        parts.append(torch.log_softmax(logits, dim=-1).numpy())
    logprobs = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
    return Distributions(tokens=tuple(tokens), logprobs=logprobs)
