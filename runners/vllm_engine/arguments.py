"""What vLLM is called with, and what it returns, as pure functions; names as of vLLM 0.33."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from evalcore.protocols import Loglikelihood
from evalcore.records import ModelSpec, SamplingParams
from runners.hf.generation import Ending
from runners.vllm_engine.settings import QUANTIZATIONS, VllmSettings

__all__ = [
    "SCORING",
    "engine_arguments",
    "read_logprobs",
    "sampling_arguments",
    "scored_prompt",
    "text_window",
]

SCORING: Final[Mapping[str, Any]] = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0}
"""``SamplingParams`` that ask for the log-probabilities of a prompt's own tokens and of no others;
one more token is made in vain, since vLLM makes at least one."""


def engine_arguments(
    spec: ModelSpec, settings: VllmSettings, *, folder: str, max_len: int, lora_rank: int
) -> dict[str, Any]:
    """Return what ``vllm.LLM`` is called with.

    Parameters
    ----------
    spec
        Resolved.
    settings
        Of the spec.
    folder
        Of weights and tokenizer.
    max_len
        Most tokens of prompt and answer.
    lora_rank
        One of vLLM's ranks, or 0 if no adapter is put on.
    """
    arguments: dict[str, Any] = {
        "model": folder,
        "tokenizer": folder,
        "dtype": spec.dtype,
        "max_model_len": max_len,
        "tensor_parallel_size": settings.tensor_parallel,
        "gpu_memory_utilization": settings.gpu_memory,
        "trust_remote_code": False,
        "seed": 0,
    }
    if spec.quantization is not None:
        arguments["quantization"] = QUANTIZATIONS[spec.quantization]
    if lora_rank:
        arguments |= {"enable_lora": True, "max_lora_rank": lora_rank, "max_loras": 1}
    return arguments


def text_window(max_len: int) -> int:
    """Return how many tokens of a text can be read before the one that is scored last.

    The scored token is part of vLLM's prompt, and one more is made behind it.
    """
    return max_len - 2


def sampling_arguments(params: SamplingParams, *, seed: int, ending: Ending) -> dict[str, Any]:
    """Return what ``vllm.SamplingParams`` is called with.

    Parameters
    ----------
    params
        How an answer is decoded; the seed in it is not used.
    seed
        Fixes the answer if temperature > 0.
    ending
        What ends an answer; texts are cut by it, whatever vLLM puts into its own.
    """
    arguments: dict[str, Any] = {
        "max_tokens": params.max_new_tokens,
        "temperature": params.temperature,
        "stop": list(ending.strings),
        "stop_token_ids": sorted(ending.tokens),
    }
    if params.temperature > 0:
        arguments |= {"top_p": params.top_p, "top_k": params.top_k or -1, "seed": seed}
    return arguments


def scored_prompt(inputs: Sequence[int], targets: Sequence[int]) -> list[int]:
    """Return the tokens that are given to vLLM to score targets: all that is read, and the last."""
    return [*inputs, targets[-1]]


def read_logprobs(
    prompt_logprobs: Sequence[Mapping[int, Any] | None], targets: Sequence[int], *, n_truncated: int
) -> Loglikelihood:
    """Sum up the log-probabilities of a prompt's last tokens.

    Parameters
    ----------
    prompt_logprobs
        Of ``RequestOutput``: for each token its ``Logprob`` by token id; None for the first.
    targets
        The last tokens.
    n_truncated
        Tokens that were cut off before.
    """
    found = [
        entry[token]
        for entry, token in zip(prompt_logprobs[-len(targets) :], targets, strict=True)
        if entry is not None
    ]
    return Loglikelihood(
        logprob=math.fsum(one.logprob for one in found),
        is_greedy=all(one.rank == 1 for one in found),
        n_tokens=len(found),
        n_truncated=n_truncated,
    )
