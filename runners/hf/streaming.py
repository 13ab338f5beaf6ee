"""Answers while they are being made: text that won't change any more, as soon as it is certain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import torch

from evalcore.errors import ModelError
from evalcore.protocols import Piece
from evalcore.records import FinishReason
from runners.engine.generation import GenerationJob, SlotOptions, SlotState, follow_slots
from runners.hf.generation import Decode, Decoded, Ending, RowStop, decode_batch

__all__ = ["TextStream", "stream_batches", "stream_slots", "text_pieces"]

Wanted = Callable[[int], bool]
Steps = Generator[list[Piece], None, None]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer makes of the first bytes of a character whose last ones are to come."""


def stream_slots(
    model: Any,
    jobs: Sequence[GenerationJob],
    *,
    decode: Decode,
    options: SlotOptions,
    wanted: Wanted,
) -> Steps:
    """Continue prompts by :func:`runners.engine.generation.follow_slots`, in pieces of text."""
    states = follow_slots(model, jobs, decode=decode, options=options, wanted=wanted)
    yield from text_pieces(states, jobs, decode)


def text_pieces(
    states: Iterable[SlotState], jobs: Sequence[GenerationJob], decode: Decode
) -> Steps:
    """Turn what there is after each pass into pieces of text."""
    texts = _streams(jobs, decode)
    for state in states:
        going_on = [texts[job].advance(tokens) for job, tokens in state.tokens.items()]
        ended = [texts[one.job].finish(one.tokens, stopped=one.stopped) for one in state.answers]
        yield going_on + ended


def stream_batches(
    model: Any,
    jobs: Sequence[GenerationJob],
    *,
    batches: Iterable[list[int]],
    decode: Decode,
    wanted: Wanted,
) -> Steps:
    """Continue prompts by :func:`runners.hf.generation.decode_batch`, in pieces of text.

    ``batches`` are the positions of jobs to decode together; each batch has one set of parameters.
    """
    texts = _streams(jobs, decode)
    for batch in batches:
        rows = [index for index in batch if wanted(index)]
        with closing(_follow_batch(model, [jobs[i] for i in rows], rows, decode, wanted)) as states:
            running = set(rows)
            for state in states:
                running = {index for index in running if wanted(index)}
                ended = {rows[row]: stopped for row, stopped in state.ended.items()}
                tokens = dict(zip(rows, state.tokens, strict=True))
                yield [
                    texts[index].finish(tokens[index], stopped=ended[index])
                    if index in ended
                    else texts[index].advance(tokens[index])
                    for index in sorted(running)
                ]
                running -= ended.keys()


def _streams(jobs: Sequence[GenerationJob], decode: Decode) -> list[TextStream]:
    return [TextStream(index, job.ending, decode) for index, job in enumerate(jobs)]


class TextStream:
    """Turns the tokens of one answer, more and more of them, into pieces of text.

    What may still change is held back: the beginning of a character of several bytes, and what may
    be the beginning of a stop string.

    Parameters
    ----------
    request
        The answer's position in the list of requests.
    ending
        What ends it.
    decode
        Turns tokens into texts.
    """

    def __init__(self, request: int, ending: Ending, decode: Decode) -> None:
        self._request = request
        self._ending = ending
        self._decode = decode
        self._given = ""

    def advance(self, tokens: Sequence[int]) -> Piece:
        """Take all tokens so far; return what is certain of their text and new, maybe nothing."""
        certain = self._certain(self._text(tokens).rstrip(_UNFINISHED))
        goes_on = len(certain) > len(self._given) and certain.startswith(self._given)
        return Piece(request=self._request, text=self._give(certain) if goes_on else "")

    def finish(self, tokens: Sequence[int], *, stopped: bool) -> Piece:
        """Take the whole answer; return the rest of it.

        Raises
        ------
        ModelError
            If the answer doesn't begin with what was given of it. A tokenizer whose texts change
            at their beginning as they get longer would do that.
        """
        text = self._text(tokens)
        if not text.startswith(self._given):
            raise ModelError("this model's answers can't be streamed: its tokenizer rewrites them")
        reason: FinishReason = "stop" if stopped else "length"
        return Piece(request=self._request, text=self._give(text), finish_reason=reason)

    def _text(self, tokens: Sequence[int]) -> str:
        (text,) = self._ending.texts([tokens], self._decode)
        return text

    def _give(self, text: str) -> str:
        new, self._given = text[len(self._given) :], text
        return new

    def _certain(self, text: str) -> str:
        longest = max(map(len, self._ending.strings), default=1) - 1
        for n in range(min(longest, len(text)), 0, -1):
            if any(string.startswith(text[-n:]) for string in self._ending.strings):
                return text[:-n]
        return text


@dataclass(frozen=True, slots=True)
class _BatchState:
    """What there is after a step of a static batch."""

    tokens: Sequence[list[int]]
    """Generated so far by each row, without what a row said after its end."""
    ended: Mapping[int, bool]
    """Whether it ended by itself rather than for its length, of each row that has ended."""


class _FollowedStop(RowStop):
    """Reports each step, and drops rows that are not wanted any more."""

    def __init__(
        self,
        ending: Ending,
        decode: Decode,
        *,
        report: Callable[[_BatchState], None],
        wanted: Wanted,
    ) -> None:
        super().__init__(ending, decode)
        self._report = report
        self._wanted = wanted

    def __call__(self, input_ids: torch.Tensor, scores: object) -> torch.Tensor:
        ended = super().__call__(input_ids, scores)
        generated = input_ids[:, self._width :].tolist()
        tokens = [row[: self.ended_at.get(at, len(row))] for at, row in enumerate(generated)]
        self._report(_BatchState(tokens, dict.fromkeys(self.ended_at, True)))
        dropped = [not self._wanted(row) for row in range(len(tokens))]
        return ended | torch.tensor(dropped, device=ended.device)


class _Closed(BaseException):
    """Ends a batch that nobody follows any more."""


def _follow_batch(
    model: Any, jobs: Sequence[GenerationJob], rows: Sequence[int], decode: Decode, wanted: Wanted
) -> Generator[_BatchState, None, None]:
    """Run a static batch and stop after each of its steps.

    transformers decodes in one call, so it gets a thread of its own, which only ever runs while
    this generator is being advanced. Closing the generator ends the batch.
    """
    if not jobs:
        return
    states: SimpleQueue[_BatchState | BaseException | None] = SimpleQueue()
    may_go_on: SimpleQueue[bool] = SimpleQueue()

    def report(state: _BatchState) -> None:
        states.put(state)
        if not may_go_on.get():
            raise _Closed

    def run() -> Decoded:
        return decode_batch(
            model,
            [job.prompt for job in jobs],
            params=jobs[0].params,
            seeds=[job.seed for job in jobs],
            stop=_FollowedStop(
                jobs[0].ending, decode, report=report, wanted=lambda row: wanted(rows[row])
            ),
        )

    def work() -> None:
        try:
            done = run()
            states.put(_BatchState(done.tokens, dict(enumerate(done.stopped))))
            states.put(None)
        except _Closed:
            pass
        except BaseException as error:
            # It is raised again where the batch is followed.
            states.put(error)

    thread = threading.Thread(target=work, name="parity-batch", daemon=True)
    thread.start()
    try:
        while (state := states.get()) is not None:
            if isinstance(state, BaseException):
                raise state
            yield state
            may_go_on.put(True)
    finally:
        may_go_on.put(False)
        thread.join()
