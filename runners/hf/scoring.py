"""Log-probabilities of tokens given those before them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from evalcore.errors import InputError
from evalcore.protocols import Loglikelihood

__all__ = ["Span", "masked_logits", "pair_span", "rolling_spans", "score_spans", "summed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Tokens to read and, of what each of the last ones predicts, the tokens to score."""

    inputs: Sequence[int]
    """What the model reads, at most a window."""
    targets: Sequence[int]
    """Followers of the last ``len(targets)`` inputs; at least 1 and at most ``len(inputs)``."""
    n_truncated: int = 0
    """Tokens cut off at the beginning."""


def pair_span(context: Sequence[int], continuation: Sequence[int], window: int) -> Span:
    """Return the span that scores a continuation, its context cut on the left to fit the window.

    Parameters
    ----------
    context
        At least one token.
    continuation
        At least one token. The last one is predicted, never read.
    window
        Most tokens that the model reads at once.

    Raises
    ------
    InputError
        If the continuation alone is longer than the window.
    """
    if len(continuation) > window:
        raise InputError(
            f"a continuation must fit the model's window of {window} tokens; got one of "
            f"{len(continuation)} tokens"
        )
    inputs = [*context, *continuation[:-1]]
    n_truncated = max(0, len(inputs) - window)
    return Span(inputs=inputs[n_truncated:], targets=continuation, n_truncated=n_truncated)


def rolling_spans(tokens: Sequence[int], first_token: int, window: int) -> list[Span]:
    """Return spans that score each token of a text once, with as much text before it as fits.

    The first span reads the first-token mark and scores a full window. Each further one scores the
    next ``window`` tokens, the last one what is left, and is filled up on the left with as much of
    the text before as fits: the disjoint windows of lm-evaluation-harness
    (``get_rolling_token_windows`` with one token of context, ``make_disjoint_window``).
    """
    predecessors = [first_token, *tokens[:-1]]
    spans = []
    for start in range(0, len(tokens), window):
        end = min(start + window, len(tokens))
        inputs = predecessors[max(0, end - window) : end]
        spans.append(Span(inputs=inputs, targets=tokens[start:end]))
    return spans


@torch.inference_mode()
def score_spans(model: Any, spans: Sequence[Span]) -> list[Loglikelihood]:
    """Score spans together, padded on the right.

    Logits are computed for the scored positions alone where the architecture can, and normalised
    in float32. Padding comes after all that is scored, where a causal model doesn't look.

    Returns
    -------
    list of Loglikelihood
        In the order of `spans`.
    """
    device = model.get_input_embeddings().weight.device
    width = max(len(span.inputs) for span in spans)
    input_ids = torch.zeros(len(spans), width, dtype=torch.long)
    scored = torch.zeros(len(spans), width, dtype=torch.bool)
    for row, span in enumerate(spans):
        n_read = len(span.inputs)
        input_ids[row, :n_read] = torch.tensor(span.inputs)
        scored[row, n_read - len(span.targets) : n_read] = True
    logits = masked_logits(model, {"input_ids": input_ids.to(device)}, scored.to(device))
    targets = torch.tensor([t for span in spans for t in span.targets], device=logits.device)
    results = summed(logits, targets, [len(span.targets) for span in spans])
    return [
        replace(result, n_truncated=span.n_truncated)
        for result, span in zip(results, spans, strict=True)
    ]


def masked_logits(
    model: Any, inputs: Mapping[str, torch.Tensor], scored: torch.Tensor
) -> torch.Tensor:
    """Return the logits at some places, row by row.

    Parameters
    ----------
    model
        Of transformers.
    inputs
        What it reads, by name; ``input_ids`` of shape (n, n_tokens).
    scored : (n, n_tokens)
        Where logits are wanted.

    Returns
    -------
    Tensor
        Of shape (n_scored, n_vocabulary).
    """
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        logits: torch.Tensor = model(**inputs, use_cache=False, logits_to_keep=scored).logits
        return logits
    logits = model(**inputs, use_cache=False).logits
    return logits[scored.to(logits.device)]


def summed(
    logits: torch.Tensor, targets: torch.Tensor, n_targets: Sequence[int]
) -> Iterator[Loglikelihood]:
    """Add up the log-probabilities of targets, so many for each row of a batch."""
    start = 0
    for n in n_targets:
        here = slice(start, start + n)
        start = here.stop
        logprobs = torch.log_softmax(logits[here].float(), dim=-1)
        picked = logprobs.gather(1, targets[here, None]).double().sum()
        yield Loglikelihood(
            logprob=float(picked),
            is_greedy=bool((logits[here].argmax(-1) == targets[here]).all()),
            n_tokens=n,
        )
