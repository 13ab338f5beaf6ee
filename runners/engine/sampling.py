"""Choosing the next token of each row, whatever else is decoded beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from evalcore.records import SamplingParams

__all__ = ["RowSampler", "pick_tokens", "with_noise"]


class RowSampler:
    """Chooses one row's tokens.

    Parameters
    ----------
    params
        How to decode; the seed in it is not used.
    seed
        Fixes the row's answer if temperature > 0.
    """

    def __init__(self, params: SamplingParams, seed: int) -> None:
        self.settings = (float(params.temperature), params.top_k, params.top_p)
        """Rows with the same ones are chosen for together; all greedy rows are."""
        if params.temperature == 0:
            self.settings = (0.0, 0, 1.0)
        self.generator = torch.Generator().manual_seed(seed)


def pick_tokens(logits: torch.Tensor, samplers: Sequence[RowSampler]) -> list[int]:
    """Choose each row's next token.

    Parameters
    ----------
    logits : (n_rows, n_vocabulary)
        Of any floating type.
    samplers : (n_rows,)
        One for each row; a sampled row's draws from its generator.
    """
    groups: dict[tuple[float, int, float], list[int]] = {}
    for row, sampler in enumerate(samplers):
        groups.setdefault(sampler.settings, []).append(row)
    tokens = torch.empty(len(samplers), dtype=torch.long, device=logits.device)
    for (temperature, top_k, top_p), rows in groups.items():
        scores = (logits if len(groups) == 1 else logits[rows]).float()
        if temperature:
            scores = _warped(scores, temperature, top_k=top_k, top_p=top_p)
            scores = with_noise(scores, [samplers[row].generator for row in rows])
        tokens[rows] = scores.argmax(-1)
    picked: list[int] = tokens.tolist()
    return picked


def with_noise(scores: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Add noise that makes the likeliest token a sample.

    argmax(logit + Gumbel noise) is distributed as softmax(logits) (Maddison, Tarlow & Minka 2014,
    section 2). Noise that is drawn row by row leaves an answer the same whatever else is in the
    batch, and on any device.

    Parameters
    ----------
    scores : (n_rows, n_vocabulary)
        Float32 logits.
    generators : (n_rows,)
        On the CPU.
    """
    exponential = torch.empty(scores.shape, dtype=torch.float32)
    for row, generator in enumerate(generators):
        exponential[row].exponential_(generator=generator)
    smallest = torch.finfo(torch.float32).tiny
    return scores - exponential.clamp_min(smallest).log().to(scores.device)


def _warped(scores: torch.Tensor, temperature: float, *, top_k: int, top_p: float) -> torch.Tensor:
    # None of them reads the tokens before.
    tokens = torch.empty(0)
    scores = TemperatureLogitsWarper(temperature)(tokens, scores)
    if top_k:
        scores = TopKLogitsWarper(top_k)(tokens, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(tokens, scores)
    warped: torch.Tensor = scores
    return warped
