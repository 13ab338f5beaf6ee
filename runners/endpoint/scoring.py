"""Log-likelihoods from a completions endpoint that echoes its prompt with log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from evalcore.errors import ModelError
from evalcore.protocols import Loglikelihood, LoglikelihoodRequest, RollingRequest
from runners.endpoint.address import Endpoint
from runners.endpoint.wire import TEXT_PATH, Call

__all__ = ["read_score", "refused", "scored_text", "scoring_call"]

_REFUSAL = "log-likelihoods can't be had from {url}: {why}; ask a local model, or judge by reply"


def scored_text(
    request: LoglikelihoodRequest | RollingRequest, endpoint: Endpoint
) -> tuple[str, int]:
    """Return a request's whole text, and where its scored part begins.

    White space at the end of a context belongs to what is scored.

    Raises
    ------
    ModelError
        For a context of messages: the server alone knows its chat template.
    """
    if isinstance(request, RollingRequest):
        return request.text, 0
    if not isinstance(request.context, str):
        raise refused(
            endpoint,
            "the prompt is a conversation, whose chat template it keeps (of vLLM: ?scoring=vllm)",
        )
    return request.context + request.continuation, len(request.context.rstrip())


def scoring_call(text: str, *, key: str, endpoint: Endpoint) -> Call:
    """Ask for the log-probabilities of a text's own tokens; one more token is made in vain."""
    body = {
        "model": endpoint.model,
        "prompt": text,
        "max_tokens": 1,
        "temperature": 0.0,
        "logprobs": 1,
        "echo": True,
    }
    most = len(text.encode()) + 1
    return Call(
        path=TEXT_PATH, body=body, key=key, most_prompt_tokens=most, most_completion_tokens=1
    )


def read_score(
    reply: Mapping[str, Any], text: str, begin: int, *, endpoint: Endpoint
) -> Loglikelihood:
    """Sum up the tokens from a place in the text on; one that lies across it counts.

    Raises
    ------
    ModelError
        If the server doesn't echo the text's log-probabilities, or has none for its first token.
    """
    choice = (reply.get("choices") or [{}])[0]
    found = choice.get("logprobs") or {}
    lists = [found.get(name) for name in ("text_offset", "token_logprobs", "top_logprobs")]
    if not all(isinstance(item, list) for item in lists):
        raise refused(endpoint, "it gives none")
    if not str(choice.get("text", "")).startswith(text):
        raise refused(endpoint, "it doesn't echo the prompt")
    offsets, logprobs, tops = cast("list[list[Any]]", lists)
    ends = [*offsets[1:], math.inf]
    places = [
        place
        for place, (start, end) in enumerate(zip(offsets, ends, strict=True))
        if end > begin and start < len(text)
    ]
    if any(logprobs[place] is None for place in places):
        raise refused(endpoint, "it has none for the first token of a text")
    return Loglikelihood(
        logprob=math.fsum(logprobs[place] for place in places),
        is_greedy=all(_is_likeliest(logprobs[place], tops, place) for place in places),
        n_tokens=len(places),
    )


def _is_likeliest(logprob: float, tops: Sequence[Mapping[str, float] | None], place: int) -> bool:
    return logprob >= max((tops[place] or {}).values(), default=logprob)


def refused(endpoint: Endpoint, why: str) -> ModelError:
    """Make the error that says why a server can't score."""
    return ModelError(_REFUSAL.format(url=endpoint.url, why=why))
