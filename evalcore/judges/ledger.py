"""What judging costs: counted as it happens, and estimated before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from evalcore.answering import Advance, Begin
from evalcore.judges.records import Judge
from evalcore.protocols import Completion, GenerateRequest, LoglikelihoodRequest, Request, Response

__all__ = ["Estimated", "Meter", "Price", "Tally", "estimate_calls"]

Price = Callable[[Judge, int, int], float | None]
"""US dollars for prompt and completion tokens of a judge; None if its price is unknown."""

_CHARACTERS_PER_TOKEN = 4.0


@dataclass
class Meter:
    """Counts the calls that are made now, and what they cost."""

    n_asked: int = 0
    cost_usd: float = 0.0

    def metered(self, begin: Begin) -> Begin:
        """Return the same progress display, with its numbers also counted here."""

        def begin_metered(label: str, total: int) -> Advance:
            advance = begin(label, total)

            def advance_metered(count: int, cost_usd: float) -> None:
                self.n_asked += count
                self.cost_usd += cost_usd
                advance(count, cost_usd)

            return advance_metered

        return begin_metered


@dataclass
class Tally:
    """What a judge's stored replies took, whenever they were made."""

    n_calls: int = 0
    """Calls that the job needs."""
    n_missing: int = 0
    """Calls without a reply."""
    n_unscored: int = 0
    """Replies without a verdict that could be read."""
    n_cut: int = 0
    """Prompts cut at their beginning to fit the judge's window, as far as it says so."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    n_unpriced: int = 0
    """Generated replies whose cost is unknown."""

    def add(self, replies: Iterable[Response]) -> float | None:
        """Count a call's replies; return what they cost, None if that isn't known."""
        costs = []
        for reply in replies:
            self.n_cut += reply.n_truncated > 0
            if isinstance(reply, Completion):
                self.prompt_tokens += reply.prompt_tokens
                self.completion_tokens += reply.completion_tokens
                costs.append(reply.cost_usd)
        known = [cost for cost in costs if cost is not None]
        self.n_unpriced += len(costs) - len(known)
        self.cost_usd += sum(known)
        return sum(known) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """What is left to be asked of one judge."""

    judge: str
    n_calls: int
    """All that the job needs."""
    n_left: int
    """Those without a stored reply."""
    prompt_tokens: int
    """Of those left: characters by the ratio seen so far, else by four."""
    completion_tokens: int
    """Of those left: the mean seen so far, else the most permitted."""
    cost_usd: float | None
    """None if the price is unknown; 0 for local models and rules."""


@dataclass
class _Seen:
    """Sizes of calls that have been made."""

    characters: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    n: int = 0
    left: list[Request] = field(default_factory=list)


def estimate_calls(
    judge: Judge,
    requests: Sequence[Request],
    *,
    replies: Mapping[str, Response],
    price: Price,
) -> Estimated:
    """Estimate what the requests without a reply will take.

    Parameters
    ----------
    judge
        A model.
    requests
        All that the job needs.
    replies
        Stored ones by request key: the estimate follows what they took.
    price
        From the price table.

    Returns
    -------
    Estimated
        Without stored replies the completion tokens, and so the cost, are an upper bound.
    """
    seen = _Seen()
    for request in requests:
        reply = replies.get(request.key)
        if reply is None:
            seen.left.append(request)
        elif isinstance(reply, Completion):
            seen.n += 1
            seen.characters += _n_characters(request)
            seen.prompt_tokens += reply.prompt_tokens
            seen.completion_tokens += reply.completion_tokens
    ratio = seen.prompt_tokens / seen.characters if seen.characters else 1 / _CHARACTERS_PER_TOKEN
    prompt_tokens = round(sum(map(_n_characters, seen.left)) * ratio)
    if seen.n:
        completion_tokens = round(len(seen.left) * seen.completion_tokens / seen.n)
    else:
        completion_tokens = sum(
            request.params.max_new_tokens
            for request in seen.left
            if isinstance(request, GenerateRequest)
        )
    return Estimated(
        judge=judge.name,
        n_calls=len(requests),
        n_left=len(seen.left),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost_usd=price(judge, prompt_tokens, completion_tokens),
    )


def _n_characters(request: Request) -> int:
    if isinstance(request, GenerateRequest):
        prompt = request.prompt
    elif isinstance(request, LoglikelihoodRequest):
        prompt = request.context
    else:
        prompt = request.text
    return len(prompt) if isinstance(prompt, str) else sum(len(said.content) for said in prompt)
