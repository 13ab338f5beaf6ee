"""What judging costs: counted as it happens, and estimated before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from evalcore.judges.records import Judge
from evalcore.protocols import Completion, GenerateRequest, LoglikelihoodRequest, Request, Response
from evalcore.stages import Advance, Begin

__all__ = ["Estimated", "Meter", "Price", "Sizes", "Tally"]

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

    def add(self, replies: Iterable[Response]) -> None:
        """Count a call's replies."""
        for reply in replies:
            self.n_cut += reply.n_truncated > 0
            if isinstance(reply, Completion):
                self.prompt_tokens += reply.prompt_tokens
                self.completion_tokens += reply.completion_tokens
                self.n_unpriced += reply.cost_usd is None
                self.cost_usd += reply.cost_usd or 0.0


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
class Sizes:
    """Sizes of a judge's calls, each request counted once: of those made and of those left."""

    keys: set[str] = field(default_factory=set)
    made: Tally = field(default_factory=Tally)
    n_made: int = 0
    characters_made: int = 0
    n_left: int = 0
    characters_left: int = 0
    most_completion_tokens_left: int = 0

    def add(self, requests: Iterable[Request], replies: Mapping[str, Response]) -> None:
        """Count further requests; those without a reply, by key, are left to be made."""
        for request in requests:
            if request.key in self.keys:
                continue
            self.keys.add(request.key)
            reply = replies.get(request.key)
            if reply is None:
                self._add_left(request)
            elif isinstance(reply, Completion):
                self.n_made += 1
                self.characters_made += _n_characters(request)
                self.made.add([reply])

    def _add_left(self, request: Request) -> None:
        self.n_left += 1
        self.characters_left += _n_characters(request)
        if isinstance(request, GenerateRequest):
            self.most_completion_tokens_left += request.params.max_new_tokens

    def estimated(self, judge: Judge, price: Price) -> Estimated:
        """Estimate what is left by what was made.

        Before anything was made the completion tokens, and so the cost, are an upper bound.
        """
        ratio = 1 / _CHARACTERS_PER_TOKEN
        completion_tokens = self.most_completion_tokens_left
        if self.n_made:
            ratio = self.made.prompt_tokens / self.characters_made
            completion_tokens = round(self.n_left * self.made.completion_tokens / self.n_made)
        prompt_tokens = round(self.characters_left * ratio)
        return Estimated(
            judge=judge.name,
            n_calls=len(self.keys),
            n_left=self.n_left,
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
