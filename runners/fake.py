"""A model that is none: deterministic answers without weights, for tests and dry runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeVar

from evalcore.errors import ModelError
from evalcore.protocols import (
    Completion,
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Piece,
    Prompt,
    Request,
    RollingRequest,
)
from evalcore.records import Efficiency, ModelSpec
from runners.backends import Backend

__all__ = ["BACKEND", "FakeResident", "FakeRunner"]

RequestT = TypeVar("RequestT", bound=Request)


class FakeRunner:
    """Answers from a table, else repeats the prompt; log-likelihoods come from a hash.

    A token is a word between white space, and each has a log-probability in (-10, 0] that depends
    on the model's fingerprint and the request alone.

    Parameters
    ----------
    spec
        What it claims to be.
    answers
        Text by prompt; for a conversation the prompt is its last turn. A prompt that is not in the
        table is its own answer.
    batch_size
        Requests that are finished together.

    Attributes
    ----------
    calls : list
        The requests of each call, in order.
    closed : bool
    """

    def __init__(
        self,
        spec: ModelSpec | None = None,
        *,
        answers: Mapping[str, str] | None = None,
        batch_size: int = 4,
    ) -> None:
        self._spec = spec or ModelSpec(name="fake", backend="fake", weights="fake")
        self._answers = dict(answers or {})
        self._batch_size = batch_size
        self.calls: list[tuple[Request, ...]] = []
        self.closed = False

    @property
    def spec(self) -> ModelSpec:
        """What it claims to be."""
        return self._spec

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Look the answers up, cut at the first stop string and at ``max_new_tokens`` words."""
        for batch in self._batches(requests):
            results = [(index, self._complete(request)) for index, request in batch]
            prefill = sum(completion.prompt_tokens for _, completion in results)
            decode = sum(completion.completion_tokens for _, completion in results)
            efficiency = Efficiency(
                prefill_tokens=prefill, prefill_s=1e-3, decode_tokens=decode, decode_s=1e-3
            )
            yield Finished(results, efficiency)

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        """Yield the answer word by word."""
        self.calls.append((request,))
        yield from _words(self._complete(request).text)

    def stream_together(
        self, requests: Sequence[GenerateRequest], *, wanted: Callable[[int], bool]
    ) -> Generator[Sequence[Piece], None, None]:
        """Yield the answers word by word, one word of each in a step."""
        self.calls.append(tuple(requests))
        completions = [self._complete(request) for request in requests]
        words = [_words(completion.text) for completion in completions]
        running = [index for index in range(len(requests)) if wanted(index)]
        step = 0
        while running:
            ended = {index for index in running if len(words[index]) <= step + 1}
            yield [
                Piece(
                    request=index,
                    text="".join(words[index][step : step + 1]),
                    finish_reason=completions[index].finish_reason if index in ended else None,
                )
                for index in running
            ]
            running = [index for index in running if index not in ended and wanted(index)]
            step += 1

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Draw the log-probability of each continuation from a hash."""
        for batch in self._batches(requests):
            results = [(index, self._score(r, r.continuation)) for index, r in batch]
            yield _scored(results)

    def loglikelihood_rolling(
        self, requests: Sequence[RollingRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Draw the log-probability of each text from a hash."""
        for batch in self._batches(requests):
            yield _scored([(index, self._score(r, r.text)) for index, r in batch])

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def _batches(self, requests: Sequence[RequestT]) -> Iterator[list[tuple[int, RequestT]]]:
        self.calls.append(tuple(requests))
        numbered = list(enumerate(requests))
        for start in range(0, len(numbered), self._batch_size):
            yield numbered[start : start + self._batch_size]

    def _complete(self, request: GenerateRequest) -> Completion:
        prompt = _last_turn(request.prompt)
        answer = self._answers.get(prompt, prompt)
        cuts = [at for stop in request.params.stop if (at := answer.find(stop)) >= 0]
        answer = answer[: min(cuts)] if cuts else answer
        words = answer.split()
        too_long = len(words) > request.params.max_new_tokens
        return Completion(
            text=" ".join(words[: request.params.max_new_tokens]) if too_long else answer,
            finish_reason="length" if too_long else "stop",
            prompt_tokens=len(prompt.split()),
            completion_tokens=min(len(words), request.params.max_new_tokens),
            duration_s=1e-3,
        )

    def _score(
        self, request: LoglikelihoodRequest | RollingRequest, scored_text: str
    ) -> Loglikelihood:
        n_tokens = len(scored_text.split()) or int(bool(scored_text))
        digest = hashlib.sha256(f"{self._spec.fingerprint}:{request.key}".encode()).digest()
        mean = -10 * int.from_bytes(digest[:8], "big") / 2**64
        return Loglikelihood(
            logprob=mean * n_tokens, is_greedy=n_tokens == 0 or mean > -1, n_tokens=n_tokens
        )


class FakeResident:
    """Serves fake variants."""

    def runner(self, spec: ModelSpec) -> FakeRunner:
        """Return a fake that echoes."""
        return FakeRunner(spec)

    def close(self) -> None:
        """Nothing is held."""


def _scored(results: list[tuple[int, Loglikelihood]]) -> Finished[Loglikelihood]:
    n_tokens = sum(result.n_tokens for _, result in results)
    return Finished(results, Efficiency(prefill_tokens=n_tokens, prefill_s=1e-3))


def _words(text: str) -> list[str]:
    """Split between words, so that the parts put together are the text."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+", text)


def _last_turn(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else prompt[-1].content


def _read(where: str, settings: Mapping[str, str]) -> ModelSpec:
    for key in settings:
        raise ModelError(f"a fake model takes no settings; got {key!r}")
    return ModelSpec(name="", backend="fake", weights=where)


BACKEND = Backend(kind="a fake model", read=_read, open=lambda _spec, _options: FakeResident())
