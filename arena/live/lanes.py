"""Threads that models run in: one for all variants of a base, several for an endpoint.

A thread can't be ended from outside. What hangs therefore costs its lane, not the service: battles
stop waiting for it, and its models are not drawn until it moves again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol, cast

from arena.live.streams import AnswerStream, Failure
from evalcore.protocols import (
    GenerateRequest,
    InterleavedRunner,
    Piece,
    Runner,
    StreamingRunner,
)

__all__ = ["Ask", "InterleavedLane", "Lane", "ThreadedLane", "make_lanes"]

_ENDPOINT_THREADS = 8
_CLOSING_S = 5.0

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request, the model it goes to, and where the answer is written."""

    model: str
    """Fingerprint."""
    request: GenerateRequest
    stream: AnswerStream


class Lane(Protocol):
    """Where some models run."""

    def submit(self, ask: Ask) -> None:
        """Ask one of the lane's models; returns at once."""

    def stalled_s(self) -> float:
        """How long nothing has moved although there is work; 0 for a lane that can take more."""

    def close(self) -> None:
        """End what runs and let the threads go."""


def make_lanes(groups: Sequence[Sequence[Runner]]) -> dict[str, Lane]:
    """Return the lane of each model by fingerprint.

    Parameters
    ----------
    groups
        Running models; those of one group share a base and may only run from one thread. Runners
        that can't stream show their answers whole.
    """
    lanes: dict[str, Lane] = {}
    for group in groups:
        lane: Lane
        if all(hasattr(runner, "stream_together") for runner in group):
            lane = InterleavedLane(cast("Sequence[InterleavedRunner]", group))
        else:
            alone = len(group) == 1 and hasattr(group[0], "stream")
            lane = ThreadedLane(group, n_threads=_ENDPOINT_THREADS if alone else 1)
        lanes |= dict.fromkeys((runner.spec.fingerprint for runner in group), lane)
    return lanes


@dataclass(slots=True)
class _Batch:
    """Requests to one variant that run together."""

    asks: Sequence[Ask]
    steps: Generator[Sequence[Piece], None, None]

    def fail(self, error: BaseException) -> None:
        for ask in self.asks:
            ask.stream.fail(_failure(error))


class InterleavedLane:
    """All variants of a base in one thread, a step of each in turn.

    Requests to one variant that wait together run as one batch. What comes later begins with the
    next step, so nobody waits for others to end.

    Parameters
    ----------
    runners
        The variants.
    clock
        Seconds.
    """

    def __init__(
        self, runners: Sequence[InterleavedRunner], *, clock: Clock = time.monotonic
    ) -> None:
        self._runners = {runner.spec.fingerprint: runner for runner in runners}
        self._clock = clock
        self._waiting: SimpleQueue[Ask | None] = SimpleQueue()
        self._step_began_s: float | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="arena-base", daemon=True)
        self._thread.start()

    def submit(self, ask: Ask) -> None:
        """Ask one of the variants; it begins with the next step."""
        self._waiting.put(ask)

    def stalled_s(self) -> float:
        """How long the present step has taken; 0 between steps."""
        began_s = self._step_began_s
        return 0.0 if began_s is None else self._clock() - began_s

    def close(self) -> None:
        """End what runs; a step that hangs is left behind."""
        self._is_closing = True
        self._waiting.put(None)
        self._thread.join(_CLOSING_S)

    def _serve(self) -> None:
        running: list[_Batch] = []
        while not self._is_closing:
            running += self._begin(self._take(wait=not running))
            running = [batch for batch in running if self._goes_on(batch)]
        for batch in running:
            batch.fail(RuntimeError("the service was closed"))
            batch.steps.close()

    def _take(self, *, wait: bool) -> list[Ask]:
        """Return all that waits; with nothing else to do, wait for it."""
        taken: list[Ask] = []
        try:
            while True:
                ask = self._waiting.get(block=wait and not taken)
                if ask is None:
                    return taken
                taken.append(ask)
        except Empty:
            return taken

    def _begin(self, asks: Sequence[Ask]) -> list[_Batch]:
        by_model: dict[str, list[Ask]] = {}
        for ask in asks:
            by_model.setdefault(ask.model, []).append(ask)
        return [
            _Batch(some, _steps(self._runners[model], some)) for model, some in by_model.items()
        ]

    def _goes_on(self, batch: _Batch) -> bool:
        """Take a batch's next step; whatever goes wrong in it is its own streams' failure."""
        self._step_began_s = self._clock()
        try:
            pieces = next(batch.steps, None)
            for piece in pieces or ():
                _write(batch.asks[piece.request].stream, piece)
            if pieces is not None and any(ask.stream.is_wanted for ask in batch.asks):
                return True
            batch.fail(RuntimeError("the answer ended without saying why"))
            batch.steps.close()
        except Exception as error:
            batch.fail(error)
        finally:
            self._step_began_s = None
        return False


class ThreadedLane:
    """Some threads, each of which follows one answer at a time.

    Parameters
    ----------
    runners
        Behind an endpoint; or not able to stream, with one thread.
    n_threads
        Answers that are followed at the same time.
    clock
        Seconds.
    """

    def __init__(
        self, runners: Sequence[Runner], *, n_threads: int, clock: Clock = time.monotonic
    ) -> None:
        self._runners = {runner.spec.fingerprint: runner for runner in runners}
        self._clock = clock
        self._n_threads = n_threads
        self._waiting: SimpleQueue[Ask | None] = SimpleQueue()
        self._moved_s: dict[int, float] = {}
        self._is_closing = False
        for _ in range(n_threads):
            threading.Thread(target=self._serve, name="arena-endpoint", daemon=True).start()

    def submit(self, ask: Ask) -> None:
        """Ask one of the models; it begins as soon as a thread is free."""
        self._waiting.put(ask)

    def stalled_s(self) -> float:
        """How long the thread that moved last has been still; 0 if a thread is free."""
        moved = list(self._moved_s.values())
        return self._clock() - max(moved) if len(moved) == self._n_threads else 0.0

    def close(self) -> None:
        """Ask the threads to end with the next piece; what hangs is left behind."""
        self._is_closing = True
        for _ in range(self._n_threads):
            self._waiting.put(None)

    def _serve(self) -> None:
        while (ask := self._waiting.get()) is not None:
            with self._busy():
                self._follow(ask)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        me = threading.get_ident()
        self._moved_s[me] = self._clock()
        try:
            yield
        finally:
            del self._moved_s[me]

    def _follow(self, ask: Ask) -> None:
        runner = self._runners[ask.model]
        try:
            if hasattr(runner, "stream"):
                self._stream(cast("StreamingRunner", runner), ask)
            else:
                _generate(runner, ask)
        except Exception as error:
            ask.stream.fail(_failure(error))

    def _stream(self, runner: StreamingRunner, ask: Ask) -> None:
        if not ask.stream.is_wanted:
            return
        with closing(_pieces(runner, ask)) as pieces:
            for piece in pieces:
                self._moved_s[threading.get_ident()] = self._clock()
                ask.stream.add(piece)
                if self._is_closing or not ask.stream.is_wanted:
                    return
        ask.stream.end("stop")


def _steps(
    runner: InterleavedRunner, asks: Sequence[Ask]
) -> Generator[Sequence[Piece], None, None]:
    """Ask with the first step, so that what goes wrong then is a step's failure too."""
    requests = [ask.request for ask in asks]
    yield from runner.stream_together(requests, wanted=lambda at: asks[at].stream.is_wanted)


def _pieces(runner: StreamingRunner, ask: Ask) -> Generator[str, None, None]:
    yield from runner.stream(ask.request)


def _generate(runner: Runner, ask: Ask) -> None:
    for finished in runner.generate([ask.request]):
        for _, completion in finished.results:
            ask.stream.add(completion.text)
            ask.stream.end(completion.finish_reason)


def _write(stream: AnswerStream, piece: Piece) -> None:
    stream.add(piece.text)
    if piece.finish_reason is not None:
        stream.end(piece.finish_reason)


def _failure(error: BaseException) -> Failure:
    said = " ".join(str(error).split())[:500]
    return Failure(kind="error", message=f"{type(error).__name__}: {said}")
