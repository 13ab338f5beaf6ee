"""A served model as a runner: asynchronous calls behind the synchronous protocols."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from evalcore.errors import IncompleteError
from evalcore.protocols import (
    Completion,
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Prompt,
    RollingRequest,
)
from evalcore.records import Efficiency, ModelSpec
from runners.endpoint.address import Endpoint, api_key, endpoint_of
from runners.endpoint.background import BackgroundLoop
from runners.endpoint.budget import Budget
from runners.endpoint.caller import Answered, Caller, Series
from runners.endpoint.connection import Connection
from runners.endpoint.failures import Failure, failure_of
from runners.endpoint.parallel import in_parallel
from runners.endpoint.scoring import read_score, refused, scored_text, scoring_call
from runners.endpoint.token_scoring import (
    NotTokenisedError,
    read_token_scores,
    read_tokens,
    token_call,
    tokenising_call,
    tokens_of,
)
from runners.endpoint.wire import Reply, call_for, read_reply

__all__ = ["EndpointResident", "EndpointRunner"]

_KEPT_PROMPTS: Final = 1024
"""Whose tokens are kept; the requests of one question come close together."""

RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")


class EndpointRunner:
    """Runs one served model.

    A call that brought no answer, for whatever reason, is a completion with
    ``finish_reason="error"`` and the reason as its text. Streams may run in several threads.

    Parameters
    ----------
    spec
        Of backend ``openai``.
    budget
        What may be spent; None means any amount.

    Raises
    ------
    ModelError
        If the API key's variable is not set, or a price is needed and unknown.
    """

    def __init__(self, spec: ModelSpec, *, budget: Budget | None = None) -> None:
        self._spec = spec
        self._endpoint = endpoint_of(spec)
        key = api_key(self._endpoint)
        self._caller = Caller(self._endpoint, key, budget=budget or Budget())
        self._loop = BackgroundLoop()
        self._connection = self._loop.run(_connected(self._endpoint, key))
        self._tokenised: dict[tuple[Prompt, bool], list[int]] = {}
        self._is_closed = False

    @property
    def spec(self) -> ModelSpec:
        """What is running."""
        return self._spec

    @property
    def reads_images(self) -> bool:
        """Whether it takes requests with images: what the server's model can't, the server says."""
        return True

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt, as many at a time as the endpoint's concurrency says.

        Raises
        ------
        ModelError
            If the server refuses the key or the model's name and has answered nothing yet.
        """
        series = Series()
        began = time.perf_counter()
        for batch in self._results(requests, series, self._complete):
            took_s = time.perf_counter() - began
            began += took_s
            shared = took_s / len(batch)
            results = [(index, replace(item, duration_s=shared)) for index, item in batch]
            yield Finished(results, _efficiency([item for _, item in results], took_s))

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each continuation, where the server tells those of prompts.

        Raises
        ------
        ModelError
            If it doesn't, for prompts with images, and for a context of messages unless ``scoring``
            is ``vllm``.
        IncompleteError
            At the end, if calls have failed.
        """
        if any(request.images for request in requests):
            raise refused(self._endpoint, "they are asked for prompts with images")
        yield from self._scores(requests)

    def loglikelihood_rolling(
        self, requests: Sequence[RollingRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each text, where the server knows that of a first token too.

        Raises
        ------
        ModelError, IncompleteError
            As :meth:`loglikelihood`.
        """
        yield from self._scores(requests)

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        """Yield an answer piece by piece; closing the iterator ends the call.

        Raises
        ------
        ModelError
            As :meth:`generate`.
        IncompleteError
            If the answer could not be had, or broke off.
        """
        pieces: SimpleQueue[str | None] = SimpleQueue()
        work = self._loop.begin(self._stream(request, pieces.put))
        work.add_done_callback(lambda _work: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
            work.result()
        finally:
            work.cancel()

    def close(self) -> None:
        """End calls in flight and close the connections; again is fine."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.cancel_all()
            self._loop.run(self._connection.close())
            self._loop.close()

    async def _complete(self, request: GenerateRequest, series: Series) -> Completion:
        call = call_for(request, self._endpoint)

        async def send(body: Mapping[str, Any]) -> Answered[Reply]:
            reply = read_reply(await self._connection.post(call, body))
            return Answered(
                result=reply,
                prompt_tokens=reply.prompt_tokens,
                completion_tokens=reply.completion_tokens,
            )

        answered = await self._caller.ask(call, series, send=send)
        if isinstance(answered, Failure):
            return _failed(answered)
        reply = answered.result
        return Completion(
            text=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens or 0,
            completion_tokens=reply.completion_tokens or 0,
            duration_s=0.0,
            first_token_logprobs=reply.first_token_logprobs if request.top_logprobs else None,
            cost_usd=self._caller.cost_usd(answered),
        )

    async def _score(
        self, request: LoglikelihoodRequest | RollingRequest, series: Series
    ) -> Loglikelihood | Failure:
        if isinstance(request, LoglikelihoodRequest) and not request.continuation:
            return Loglikelihood(logprob=0.0, is_greedy=True, n_tokens=0)
        if self._endpoint.scoring == "vllm":
            return await self._score_tokens(request, series)
        text, begin = scored_text(request, self._endpoint)
        if begin == len(text):
            return Loglikelihood(logprob=0.0, is_greedy=True, n_tokens=0)
        call = scoring_call(text, key=request.key, endpoint=self._endpoint)

        async def send(body: Mapping[str, Any]) -> Answered[Loglikelihood]:
            reply = await self._connection.post(call, body)
            return Answered(result=read_score(reply, text, begin, endpoint=self._endpoint))

        answered = await self._caller.ask(call, series, send=send)
        return answered if isinstance(answered, Failure) else answered.result

    async def _score_tokens(
        self, request: LoglikelihoodRequest | RollingRequest, series: Series
    ) -> Loglikelihood | Failure:
        try:
            scored = await tokens_of(request, partial(self._tokens, series))
        except NotTokenisedError as error:
            return error.failure
        if scored.begin == len(scored.tokens):
            return Loglikelihood(logprob=0.0, is_greedy=True, n_tokens=0)
        call = token_call(scored, key=request.key, endpoint=self._endpoint)

        async def send(body: Mapping[str, Any]) -> Answered[Loglikelihood]:
            reply = await self._connection.post(call, body)
            return Answered(result=read_token_scores(reply, scored, endpoint=self._endpoint))

        answered = await self._caller.ask(call, series, send=send)
        return answered if isinstance(answered, Failure) else answered.result

    async def _tokens(self, series: Series, prompt: Prompt, marks: bool) -> list[int]:
        """Let the server tokenise, each prompt once: the choices of a question share theirs."""
        known = self._tokenised.get((prompt, marks))
        if known is not None:
            return known
        call = tokenising_call(prompt, marks=marks, endpoint=self._endpoint)

        async def send(body: Mapping[str, Any]) -> Answered[list[int]]:
            reply = await self._connection.post(call, body)
            return Answered(result=read_tokens(reply, self._endpoint))

        answered = await self._caller.ask(call, series, send=send)
        if isinstance(answered, Failure):
            raise NotTokenisedError(answered)
        if len(self._tokenised) >= _KEPT_PROMPTS:
            self._tokenised.clear()
        self._tokenised[prompt, marks] = answered.result
        return answered.result

    def _scores(
        self, requests: Sequence[LoglikelihoodRequest | RollingRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        began = time.perf_counter()
        failures: Counter[str] = Counter()
        for batch in self._results(requests, Series(), self._score):
            took_s = time.perf_counter() - began
            began += took_s
            failures.update(item.reason for _, item in batch if isinstance(item, Failure))
            scored = [(place, item) for place, item in batch if isinstance(item, Loglikelihood)]
            n_tokens = sum(item.n_tokens for _, item in scored)
            yield Finished(scored, Efficiency(prefill_tokens=n_tokens, prefill_s=took_s))
        if failures:
            reasons = "; ".join(f"{count} × {reason}" for reason, count in failures.most_common())
            raise IncompleteError(
                f"{self._spec.name}: {failures.total()} log-likelihoods could not be had "
                f"({reasons}); the same command asks for these again"
            )

    async def _stream(self, request: GenerateRequest, put: Callable[[str], None]) -> None:
        call = call_for(request, self._endpoint)

        async def send(body: Mapping[str, Any]) -> Answered[tuple[str, AsyncGenerator[str, None]]]:
            pieces = self._connection.pieces(call, body)
            return Answered(result=(await anext(pieces, ""), pieces))

        opened = await self._caller.ask(call, Series(), send=send)
        if isinstance(opened, Failure):
            raise IncompleteError(f"{self._spec.name}: {opened.reason}")
        first, rest = opened.result
        put(first)
        try:
            async with aclosing(rest):
                async for piece in rest:
                    put(piece)
        except Exception as error:
            reason = failure_of(error, url=self._endpoint.url).reason
            raise IncompleteError(f"{self._spec.name}: the answer broke off: {reason}") from None

    def _results(
        self,
        requests: Sequence[RequestT],
        series: Series,
        answer: Callable[[RequestT, Series], Awaitable[ResultT]],
    ) -> Iterator[list[tuple[int, ResultT]]]:
        return in_parallel(
            self._loop,
            requests,
            series,
            answer=answer,
            concurrency=self._endpoint.concurrency,
        )


class EndpointResident:
    """Serves a spec; there is nothing to hold in memory."""

    def __init__(self, budget: Budget | None = None) -> None:
        self._budget = budget

    def runner(self, spec: ModelSpec) -> EndpointRunner:
        """Connect to the endpoint."""
        return EndpointRunner(spec, budget=self._budget)

    def close(self) -> None:
        """Nothing is held."""


async def _connected(endpoint: Endpoint, key: str | None) -> Connection:
    return Connection(endpoint, key)


def _failed(failure: Failure) -> Completion:
    return Completion(
        text=failure.reason,
        finish_reason="error",
        prompt_tokens=0,
        completion_tokens=0,
        duration_s=0.0,
    )


def _efficiency(completions: Sequence[Completion], took_s: float) -> Efficiency:
    """Count all time as decoding: what of it was reading the prompt, the server doesn't say."""
    return Efficiency(
        prefill_tokens=sum(item.prompt_tokens for item in completions),
        decode_tokens=sum(item.completion_tokens for item in completions),
        decode_s=took_s,
    )
