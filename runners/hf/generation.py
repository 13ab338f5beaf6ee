"""Decoding: greedy or sampled, each answer independent of the others in its batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from evalcore.errors import InputError
from evalcore.records import SamplingParams

__all__ = [
    "Decode",
    "Decoded",
    "Ending",
    "RowStop",
    "check_params",
    "decode_batch",
    "decode_inputs",
]

Decode = Callable[[Sequence[Sequence[int]]], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What ends an answer."""

    tokens: frozenset[int]
    """Marks such as end of text."""
    strings: tuple[str, ...]
    """Looked for in the decoded answer."""

    @property
    def n_tail(self) -> int:
        """Last tokens of an answer in which a string that was just completed lies.

        A token holds at least one byte, so as many as the longest string has bytes; four more keep
        the edge, where a character may be cut in half, out of it.
        """
        return max((len(string.encode()) for string in self.strings), default=0) + 4

    def is_in(self, text: str) -> bool:
        """Say whether a text holds one of the strings."""
        return any(string in text for string in self.strings)

    def texts(self, answers: Sequence[Sequence[int]], decode: Decode) -> list[str]:
        """Turn tokens into texts without the mark that ended them, cut at the first string."""
        bare = [row[:-1] if row and row[-1] in self.tokens else row for row in answers]
        return [self._cut(text) for text in decode(bare)]

    def _cut(self, text: str) -> str:
        ends = [at for string in self.strings if (at := text.find(string)) >= 0]
        return text[: min(ends)] if ends else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A batch's answers."""

    tokens: list[list[int]]
    """Generated tokens of each row, the one that ended it included."""
    stopped: list[bool]
    """Whether a row ended by itself rather than for its length."""
    prefill_s: float
    """Until the first token."""
    decode_s: float
    """From there on."""


def check_params(params: SamplingParams, window: int) -> None:
    """Refuse settings outside their ranges.

    Raises
    ------
    InputError
        Naming the setting, its value and what is permitted.
    """
    ranges = {
        f"max_new_tokens must be in [1, {window - 1}] for this model's window of {window} tokens; "
        f"got {params.max_new_tokens}": 1 <= params.max_new_tokens < window,
        f"temperature must be at least 0; got {params.temperature}": params.temperature >= 0,
        f"top_p must be in (0, 1]; got {params.top_p}": 0 < params.top_p <= 1,
        f"top_k must be at least 0; got {params.top_k}": params.top_k >= 0,
        "a stop string must not be empty": "" not in params.stop,
    }
    for message, holds in ranges.items():
        if not holds:
            raise InputError(message)


@torch.inference_mode()
def decode_batch(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    params: SamplingParams,
    seeds: Sequence[int],
    stop: RowStop,
) -> Decoded:
    """Continue prompts together, padded on the left.

    Parameters
    ----------
    model
        Of transformers; its own decoding defaults are not used.
    prompts
        Tokens, each at least one; with ``max_new_tokens`` they fit the window.
    params
        How to decode; the seed in it is not used.
    seeds : (n_prompts,)
        Fixes each row's answer if temperature > 0.
    stop
        Fresh; it watches this batch.
    """
    width = max(len(prompt) for prompt in prompts)
    input_ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for row, prompt in enumerate(prompts):
        input_ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    inputs = {"input_ids": input_ids, "attention_mask": mask}
    return decode_inputs(model, inputs, params=params, seeds=seeds, stop=stop)


@torch.inference_mode()
def decode_inputs(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    *,
    params: SamplingParams,
    seeds: Sequence[int],
    stop: RowStop,
) -> Decoded:
    """Continue what is padded on the left already, as :func:`decode_batch` does.

    Parameters
    ----------
    model, params, seeds, stop
        As there.
    inputs
        What the model reads, by name: ``input_ids`` and ``attention_mask`` of shape
        (n_prompts, n_tokens), and pictures where there are any.
    """
    device = model.get_input_embeddings().weight.device
    n_prompts, width = inputs["input_ids"].shape
    start = time.perf_counter()
    stop.begin(width)
    sequences = model.generate(
        **{name: tensor.to(device) for name, tensor in inputs.items()},
        generation_config=GenerationConfig(
            max_new_tokens=params.max_new_tokens, do_sample=False, num_beams=1, use_cache=True
        ),
        logits_processor=_samplers(params, seeds),
        stopping_criteria=StoppingCriteriaList([stop]),
    )
    generated = sequences[:, width:].tolist()
    end = time.perf_counter()
    lengths = [stop.ended_at.get(row, len(tokens)) for row, tokens in enumerate(generated)]
    return Decoded(
        tokens=[tokens[:n] for tokens, n in zip(generated, lengths, strict=True)],
        stopped=[row in stop.ended_at for row in range(n_prompts)],
        prefill_s=stop.first_token_s - start,
        decode_s=end - stop.first_token_s,
    )


class RowStop(StoppingCriteria):  # type: ignore[misc]
    """Ends each row at an end token or a stop string, and notes when.

    A row that has ended is decoded on until all have, and what it says then is thrown away.
    """

    def __init__(self, ending: Ending, decode: Decode) -> None:
        self._ending = ending
        self._decode = decode
        self._width = 0
        self.ended_at: dict[int, int] = {}
        """Generated tokens by row, of the rows that have ended."""
        self.first_token_s = 0.0
        """When the first tokens were there, on the performance counter."""

    def begin(self, width: int) -> None:
        """Say how long the padded prompts are."""
        self._width = width

    def __call__(self, input_ids: torch.Tensor, scores: object) -> torch.Tensor:
        """Say which rows have ended."""
        generated = input_ids[:, self._width :]
        n_generated = generated.shape[1]
        last = generated[:, -1].tolist()
        if n_generated == 1:
            self.first_token_s = time.perf_counter()
        running = [row for row in range(len(last)) if row not in self.ended_at]
        ended = [row for row in running if last[row] in self._ending.tokens]
        if self._ending.strings:
            texts = self._decode(generated[running, -self._ending.n_tail :].tolist())
            ended += [r for r, text in zip(running, texts, strict=True) if self._ending.is_in(text)]
        self.ended_at.update(dict.fromkeys(ended, n_generated))
        is_ended = [row in self.ended_at for row in range(len(last))]
        return torch.tensor(is_ended, device=input_ids.device)


class _Gumbel(LogitsProcessor):  # type: ignore[misc]
    """Makes the likeliest token a sample, with each row's own noise.

    argmax(logit + Gumbel noise) is distributed as softmax(logits) (Maddison, Tarlow & Minka 2014,
    section 2). Noise that is drawn row by row leaves an answer the same whatever else is in the
    batch, and on any device.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add noise."""
        exponential = torch.empty(scores.shape, dtype=torch.float32)
        for row, generator in enumerate(self._generators):
            exponential[row].exponential_(generator=generator)
        smallest = torch.finfo(torch.float32).tiny
        return scores - exponential.clamp_min(smallest).log().to(scores.device)


def _samplers(params: SamplingParams, seeds: Sequence[int]) -> Any:
    samplers = LogitsProcessorList()
    if params.temperature == 0:
        return samplers
    samplers.append(TemperatureLogitsWarper(float(params.temperature)))
    if params.top_k:
        samplers.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        samplers.append(TopPLogitsWarper(params.top_p))
    samplers.append(_Gumbel(seeds))
    return samplers
