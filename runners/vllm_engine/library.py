"""vLLM itself; nothing else here imports it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from evalcore.errors import ModelError

__all__ = ["INSTALL", "VllmLibrary", "load_library", "require_gpus", "why_not"]

INSTALL: Final = "pip install 'parity-eval[vllm]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmLibrary:
    """What of vLLM is used."""

    engine: Callable[..., Any]
    """``vllm.LLM``."""
    sampling: Callable[..., Any]
    """``vllm.SamplingParams``."""
    tokens: Callable[..., Any]
    """``vllm.TokensPrompt``."""
    adapter: Callable[..., Any]
    """``vllm.lora.request.LoRARequest``."""


def why_not() -> str | None:
    """Return the reason why nothing can be run by vLLM here, in one line; None if it can."""
    if importlib.util.find_spec("vllm") is None:
        return f"vllm is not installed: {INSTALL}"
    import torch

    return None if torch.cuda.is_available() else "vLLM needs a GPU, and there is no CUDA here"


def require_gpus(wanted: int) -> None:
    """Refuse to go on without vLLM and so many GPUs.

    Raises
    ------
    ModelError
        With what is missing.
    """
    reason = why_not()
    if reason is not None:
        raise ModelError(f"vllm: models can't be run here: {reason}")
    import torch

    if torch.cuda.device_count() < wanted:
        raise ModelError(
            f"tensor_parallel must be at most {torch.cuda.device_count()}, the GPUs that are here; "
            f"got {wanted}"
        )


def load_library() -> VllmLibrary:
    """Import vLLM; ModelError if it is not installed, or can't be loaded."""
    try:
        from vllm import LLM, SamplingParams, TokensPrompt
        from vllm.lora.request import LoRARequest
    except ImportError as error:
        raise ModelError(f"vLLM can't be loaded: {error} ({INSTALL})") from None
    return VllmLibrary(
        engine=LLM, sampling=SamplingParams, tokens=TokensPrompt, adapter=LoRARequest
    )
