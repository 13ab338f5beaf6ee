"""What a model of transformers holds possible at each place of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from evalcore.protocols import Distributions

__all__ = ["text_distributions"]


@torch.inference_mode()
def text_distributions(model: Any, tokens: Sequence[int], *, first_token: int) -> Distributions:
    """Read a text, which fits the window, and keep all that is predicted.

    Everything else that reads a text computes logits only where they are asked for; here, that is
    everywhere, so that one text is read at a time.
    """
    weight = model.get_input_embeddings().weight
    if not tokens:
        return Distributions(tokens=(), logprobs=torch.zeros(0, len(weight)).numpy())
    inputs = torch.tensor([[first_token, *tokens][: len(tokens)]], device=weight.device)
    logits = model(input_ids=inputs, use_cache=False).logits[0]
    return Distributions(
        tokens=tuple(tokens), logprobs=torch.log_softmax(logits.float(), dim=-1).cpu().numpy()
    )
