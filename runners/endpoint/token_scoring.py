"""Log-likelihoods from a vLLM server by tokens: it tokenises, and scores a prompt of tokens.

vLLM's ``/tokenize`` gives the tokens of a text or a conversation, and ``/completions`` takes tokens
and, with ``prompt_logprobs``, tells each one's log-probability and rank. So contexts end where they
end for a model in this process, conversations can be scored, and a token counts as the likeliest by
its rank. Names as of vLLM 0.33.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalcore.hashing import content_hash
from evalcore.protocols import Loglikelihood, LoglikelihoodRequest, Prompt, RollingRequest
from runners.endpoint.address import Endpoint
from runners.endpoint.failures import Failure
from runners.endpoint.scoring import refused
from runners.endpoint.wire import TEXT_PATH, Call
from runners.token_boundary import divided

__all__ = [
    "NotTokenisedError",
    "ScoredTokens",
    "read_token_scores",
    "read_tokens",
    "token_call",
    "tokenising_call",
    "tokens_of",
]

Tokenise = Callable[[Prompt, bool], Awaitable[list[int]]]
"""Asks for the tokens of a text, with the marks in front or without, or of a conversation."""


class NotTokenisedError(Exception):
    """The server did not tokenise a prompt."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTokens:
    """What a server is asked to score."""

    tokens: Sequence[int]
    begin: int
    """First one that is scored."""


def tokenising_call(prompt: Prompt, *, marks: bool, endpoint: Endpoint) -> Call:
    """Ask for tokens; a conversation ends where the answer would begin."""
    body: dict[str, Any] = {"model": endpoint.model}
    if isinstance(prompt, str):
        body |= {"prompt": prompt, "add_special_tokens": marks}
    else:
        turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
        body |= {"messages": turns, "add_generation_prompt": True}
    return Call(
        path=f"{endpoint.url.removesuffix('/v1')}/tokenize",
        body=body,
        key=content_hash(["tokenize", body]),
        most_prompt_tokens=0,
        most_completion_tokens=0,
    )


def read_tokens(reply: Mapping[str, Any], endpoint: Endpoint) -> list[int]:
    """Read the tokens; ModelError if there are none in the reply."""
    tokens = reply.get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise refused(endpoint, "it has no /tokenize as vLLM has")
    return tokens


async def tokens_of(
    request: LoglikelihoodRequest | RollingRequest, tokenise: Tokenise
) -> ScoredTokens:
    """Return a request's tokens and where its scored part begins.

    White space at the end of a context of text belongs to what is scored, and both are tokenised
    together. A conversation and its continuation are tokenised apart: the server renders the one,
    and the other begins a turn.

    Raises
    ------
    NotTokenisedError
        If a call failed.
    """
    if isinstance(request, RollingRequest):
        marked, bare = await tokenise(request.text, True), await tokenise(request.text, False)
        return ScoredTokens(tokens=marked, begin=len(marked) - len(bare))
    if isinstance(request.context, str):
        whole = await tokenise(request.context + request.continuation, True)
        context = await tokenise(request.context.rstrip(), True)
        read, scored = divided(context, whole, harness_rules=request.harness_rules)
        return ScoredTokens(tokens=[*read, *scored], begin=len(read))
    context = await tokenise(request.context, True)
    continuation = await tokenise(request.continuation, False)
    return ScoredTokens(tokens=[*context, *continuation], begin=len(context))


def token_call(scored: ScoredTokens, *, key: str, endpoint: Endpoint) -> Call:
    """Ask for the log-probabilities of tokens; one more is made in vain."""
    body = {
        "model": endpoint.model,
        "prompt": list(scored.tokens),
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": 0,
    }
    return Call(
        path=TEXT_PATH,
        body=body,
        key=key,
        most_prompt_tokens=len(scored.tokens),
        most_completion_tokens=1,
    )


def read_token_scores(
    reply: Mapping[str, Any], scored: ScoredTokens, *, endpoint: Endpoint
) -> Loglikelihood:
    """Sum up the scored tokens.

    Raises
    ------
    ModelError
        If the server gives no log-probabilities of prompts, or none for a text's first token.
    """
    choice = (reply.get("choices") or [{}])[0]
    entries = choice.get("prompt_logprobs")
    if not isinstance(entries, list) or len(entries) != len(scored.tokens):
        raise refused(endpoint, "it gives none for prompts (prompt_logprobs)")
    if scored.begin == 0:
        raise refused(endpoint, "it has none for the first token of a text")
    places = range(scored.begin, len(scored.tokens))
    found = [entries[place][str(scored.tokens[place])] for place in places]
    return Loglikelihood(
        logprob=math.fsum(entry["logprob"] for entry in found),
        is_greedy=all(entry["rank"] == 1 for entry in found),
        n_tokens=len(found),
    )
