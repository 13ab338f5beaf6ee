"""What runners in this process have in common: requests in text become work on tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial

from evalcore.protocols import (
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Piece,
    Request,
    RollingRequest,
)
from evalcore.records import ModelSpec
from runners.hf.encoding import Encoder
from runners.token_work import TokenWork, Work, single_texts

__all__ = ["InterleavedTokenRunner", "TokenRunner"]


class TokenRunner(ABC):
    """A variant whose text is tokenised, cut and ended by one set of rules, whatever computes.

    Parameters
    ----------
    spec
        Resolved.
    encoder
        Its tokenizer and chat template.
    window
        Most tokens of a text.
    end_tokens
        Marks by which the model ends a text.
    """

    def __init__(
        self, spec: ModelSpec, *, encoder: Encoder, window: int, end_tokens: frozenset[int]
    ) -> None:
        self._spec = spec
        self._encoder = encoder
        self._work = TokenWork(encoder=encoder, window=window, end_tokens=end_tokens)

    @property
    def spec(self) -> ModelSpec:
        """What is running."""
        return self._spec

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each continuation given its context.

        Raises
        ------
        InputError
            If a continuation alone is longer than the window.
        """
        yield from self._score(partial(self._work.pairs, requests), requests)

    def loglikelihood_rolling(
        self, requests: Sequence[RollingRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each whole text, in disjoint windows with as much context as fits.

        The first window begins with the first-token mark, or with the end-of-text mark where a
        model has no other; that one is not scored.
        """
        yield from self._score(partial(self._work.texts, requests), requests)

    @abstractmethod
    def _score(
        self, work: Callable[[], Work], requests: Sequence[Request]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Score requests, each of which is none, one or several spans; `work` makes them."""


class InterleavedTokenRunner(TokenRunner):
    """One that also is an :class:`evalcore.protocols.InterleavedRunner`."""

    def stream(self, request: GenerateRequest) -> Iterator[str]:
        """Yield one answer piece by piece, decoded as ``generate`` decodes it.

        Raises
        ------
        InputError
            For sampling parameters outside their ranges.
        """
        yield from single_texts(self.stream_together([request], wanted=lambda _: True))

    @abstractmethod
    def stream_together(
        self, requests: Sequence[GenerateRequest], *, wanted: Callable[[int], bool]
    ) -> Generator[Sequence[Piece], None, None]:
        """Yield several answers' pieces step by step; between two steps other variants may run.

        Raises
        ------
        InputError
            For sampling parameters outside their ranges.
        """
