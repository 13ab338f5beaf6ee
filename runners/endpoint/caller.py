"""Calls to one endpoint: within its rates and the budget, tried again where that may help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from evalcore.errors import ModelError
from runners.endpoint.address import Endpoint
from runners.endpoint.budget import Budget
from runners.endpoint.failures import LONGEST_WAIT_S, Failure, backoff_s, failure_of
from runners.endpoint.limits import Hold, Pace
from runners.endpoint.wire import OPTIONAL_FIELDS, Call

__all__ = ["Answered", "Caller", "Series"]

_LEAST_FAILURES_TO_STOP: Final = 16
_TRIES_TO_REACH: Final = 2
_BYTES_PER_TOKEN: Final = 4
ResultT = TypeVar("ResultT")


@dataclass(slots=True)
class Series:
    """The calls of one job, which may have to end before all are made."""

    stopped: str | None = None
    """Why no further call is made."""
    abandoned: bool = False
    """Whether nobody wants the calls any more that aren't made yet."""
    failures_in_a_row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered(Generic[ResultT]):
    """What a call brought, and the tokens it took; None if the server doesn't say."""

    result: ResultT
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Send = Callable[[Mapping[str, Any]], Awaitable[Answered[ResultT]]]
"""Sends a body once."""


class Caller:
    """Sends calls to one endpoint, as its limits, a budget and its failures allow.

    All calls belong into one event loop.

    Parameters
    ----------
    endpoint
        Its limits.
    key
        The API key, which is taken out of whatever a server says.
    budget
        What may be spent, shared with the other callers of a command.

    Raises
    ------
    ModelError
        If the budget is limited and what a call costs is not known.
    """

    def __init__(self, endpoint: Endpoint, key: str | None, *, budget: Budget) -> None:
        if endpoint.price is None and budget.is_limited and not endpoint.is_private:
            raise ModelError(
                f"--max-usd needs the price of {endpoint.model} at {endpoint.host}: say "
                "?price=INPUT/OUTPUT in dollars per million tokens, or name a table in "
                "PARITY_PRICES"
            )
        self.endpoint = endpoint
        self._key = key
        self._budget = budget
        self._requests = Pace(endpoint.requests_per_minute)
        self._tokens = Pace(endpoint.tokens_per_minute)
        self._hold = Hold()
        self._rng = random.Random()  # noqa: S311 - jitter is no secret
        self._has_answered = False
        self._refused_fields: frozenset[str] = frozenset()
        self._n_reserved = 0
        self._settled = asyncio.Event()

    async def ask(
        self, call: Call, series: Series, *, send: Send[ResultT]
    ) -> Answered[ResultT] | Failure:
        """Make a call, again and again if need be.

        Parameters
        ----------
        call
            What is asked.
        series
            The job that it belongs to. It is stopped when no further call can do better: the quota
            or the budget is used up, or nothing but failures came back.
        send
            Makes one attempt.

        Raises
        ------
        ModelError
            If the server refuses the key or the model before it has answered anything.
        """
        attempt = 0
        while True:
            left_out = self._refused_fields
            failure = await self._attempt(call, series, send=send)
            if not isinstance(failure, Failure):
                self._has_answered, series.failures_in_a_row = True, 0
                return failure
            if self._can_do_without(call, failure, left_out):
                continue
            if not self._may_try_again(failure, attempt) or series.stopped is not None:
                self._give_up(failure, series)
                return failure
            wait_s = backoff_s(attempt, failure.wait_s, self._rng)
            if failure.wait_s is not None:
                self._hold.extend(failure.wait_s)
            attempt += 1
            await asyncio.sleep(wait_s)

    def cost_usd(self, answered: Answered[Any]) -> float | None:
        """Return what a call cost; None if the price or the tokens are unknown."""
        price, prompt, completion = (
            self.endpoint.price,
            answered.prompt_tokens,
            answered.completion_tokens,
        )
        if price is None or prompt is None or completion is None:
            return None
        return price.cost_usd(prompt, completion)

    async def _attempt(
        self, call: Call, series: Series, *, send: Send[ResultT]
    ) -> Answered[ResultT] | Failure:
        most_usd = self._most_usd(call)
        if not await self._reserve(most_usd, series):
            return _not_asked(series)
        cost_usd = 0.0
        try:
            await self._take_turn(call)
            if series.stopped is not None:
                return _not_asked(series)
            cost_usd = most_usd  # an attempt that is cancelled may be billed all the same
            answered = await send(self._body(call))
            known_usd = self.cost_usd(answered)
            cost_usd = most_usd if known_usd is None else known_usd
            self._give_back_tokens(call, answered)
            return answered
        except Exception as error:
            failure = failure_of(error, url=self.endpoint.url)
            cost_usd = most_usd if failure.may_cost else 0.0
            return self._without_key(failure)
        finally:
            self._settle(most_usd, cost_usd)

    async def _reserve(self, most_usd: float, series: Series) -> bool:
        """Set money aside; where it is short, wait for what calls in flight give back."""
        while not self._budget.reserve(most_usd):
            if self._n_reserved == 0:
                series.stopped = f"the budget of ${self._budget.max_usd:g} is used up"
                return False
            self._settled.clear()
            await self._settled.wait()
        self._n_reserved += 1
        return True

    def _settle(self, reserved_usd: float, cost_usd: float) -> None:
        self._budget.settle(reserved_usd, cost_usd)
        self._n_reserved -= 1
        self._settled.set()

    async def _take_turn(self, call: Call) -> None:
        await self._tokens.take(_likely_tokens(call))
        await self._requests.take()
        # Places that a pause has overtaken are void, else all would be taken when it ends.
        while await self._hold.passed():
            await self._requests.take()

    def _give_back_tokens(self, call: Call, answered: Answered[Any]) -> None:
        if answered.prompt_tokens is not None and answered.completion_tokens is not None:
            used = answered.prompt_tokens + answered.completion_tokens
            self._tokens.give_back(_likely_tokens(call) - used)

    def _most_usd(self, call: Call) -> float:
        price = self.endpoint.price
        if price is None:
            return 0.0
        return price.cost_usd(call.most_prompt_tokens, call.most_completion_tokens)

    def _body(self, call: Call) -> Mapping[str, Any]:
        if not self._refused_fields:
            return call.body
        return {key: call.body[key] for key in call.body if key not in self._refused_fields}

    def _can_do_without(self, call: Call, failure: Failure, left_out: frozenset[str]) -> bool:
        """Leave fields out from now on that the server has refused by name.

        Other calls may have learnt it while this one was in flight: what counts is whether it can
        leave out more than it did.
        """
        if failure.kind != "refused":
            return False
        named = {field for field in OPTIONAL_FIELDS if field in failure.reason}
        fields = {field for field in OPTIONAL_FIELDS if any(name in field for name in named)}
        fields = (fields & set(call.body)) - left_out
        self._refused_fields |= fields
        return bool(fields)

    def _may_try_again(self, failure: Failure, attempt: int) -> bool:
        if failure.kind == "unreachable":
            most = self.endpoint.retries if self._has_answered else _TRIES_TO_REACH - 1
            return attempt < min(most, self.endpoint.retries)
        is_patient = failure.wait_s is None or failure.wait_s <= LONGEST_WAIT_S
        return failure.kind == "transient" and is_patient and attempt < self.endpoint.retries

    def _give_up(self, failure: Failure, series: Series) -> None:
        """Stop the job where nothing better can be expected of the calls that are left."""
        is_this_ones_own = failure.kind == "refused" and self._has_answered
        if series.stopped is not None or is_this_ones_own:
            return
        series.failures_in_a_row += 1
        if failure.kind == "unusable":
            if not self._has_answered and failure.status in (401, 403, 404):
                raise ModelError(f"{self.endpoint.model} at {self.endpoint.url}: {failure.reason}")
            series.stopped = failure.reason
        elif failure.kind == "unreachable" and not self._has_answered:
            series.stopped = failure.reason
        elif series.failures_in_a_row >= max(_LEAST_FAILURES_TO_STOP, self.endpoint.concurrency):
            series.stopped = f"{series.failures_in_a_row} calls in a row had failed"

    def _without_key(self, failure: Failure) -> Failure:
        if not self._key:
            return failure
        return replace(failure, reason=failure.reason.replace(self._key, "***"))


def _not_asked(series: Series) -> Failure:
    return Failure(reason=f"not asked: {series.stopped}", kind="unusable")


def _likely_tokens(call: Call) -> float:
    """Guess what a server counts before the call: text at 4 bytes a token, and the longest answer.

    What the call took in the end is what counts in the long run.
    """
    return call.most_prompt_tokens / _BYTES_PER_TOKEN + call.most_completion_tokens
