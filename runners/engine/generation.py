"""Continuous batching: each row that ends makes place for the next prompt at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from evalcore.records import SamplingParams
from runners.engine.generation_prefixes import PromptGroup, group_prompts
from runners.engine.last_layer import LastLayer
from runners.engine.memory import is_out_of_memory
from runners.engine.sampling import RowSampler, pick_tokens
from runners.engine.slots import Chunk, KeyValues, Prefix, SlotPass, token_bytes
from runners.engine.slots_attention import forward_slots, slot_attention
from runners.hf.generation import Decode, Ending

__all__ = [
    "Answer",
    "GenerationJob",
    "SlotOptions",
    "SlotState",
    "decode_slots",
    "follow_slots",
    "stopped_answers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationJob:
    """A prompt to continue."""

    prompt: Sequence[int]
    """At least one token; with ``params.max_new_tokens`` it fits the model's window."""
    params: SamplingParams
    """The seed in it is not used."""
    seed: int
    """Fixes the answer if temperature > 0."""
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A job's result."""

    job: int
    """Position in the list of jobs."""
    tokens: list[int]
    """Generated tokens, the one that ended the answer included."""
    stopped: bool
    """Whether it ended by itself rather than for its length."""
    prefill_s: float
    """The answer's share of the passes until its first token."""
    decode_s: float
    """Its share of those from there on."""


@dataclass(frozen=True, slots=True)
class SlotState:
    """What there is after a pass."""

    tokens: Mapping[int, Sequence[int]]
    """Generated so far, by job, of the rows that go on; it changes with the next pass."""
    answers: list[Answer]
    """Of the rows that ended with this pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotOptions:
    """How much is decoded together."""

    n_slots: int = 64
    """Most rows. The weights are read from memory once for all of them."""
    pass_tokens: int = 512
    """Most tokens of prompts that one forward pass reads."""
    memory_bytes: int | None = None
    """For keys and values; None means no limit. A single row takes what it needs."""


@dataclass(slots=True, eq=False)
class _Row:
    """A prompt in its slot."""

    job: int
    group: PromptGroup
    own: Sequence[int]
    """The prompt after its prefix."""
    prefix: Prefix | None
    sampler: RowSampler
    n_read: int = 0
    """Tokens of the row that are in its slot."""
    tokens: list[int] = field(default_factory=list)
    prefill_s: float = 0.0
    decode_s: float = 0.0

    def answer(self, *, stopped: bool) -> Answer:
        return Answer(
            job=self.job,
            tokens=self.tokens,
            stopped=stopped,
            prefill_s=self.prefill_s,
            decode_s=self.decode_s,
        )


def decode_slots(
    model: Any, jobs: Sequence[GenerationJob], *, decode: Decode, options: SlotOptions
) -> Iterator[list[Answer]]:
    """Continue prompts, and yield answers as soon as they end.

    Beginnings that prompts share are read once. All rows advance by one token in each pass, which
    also reads what fits of the prompts that took the places of rows that ended. An answer depends
    on its own job alone, but for rounding. When memory runs out, rows that have not ended begin
    anew, half as many at a time, and passes read half as much of prompts.

    Parameters
    ----------
    model
        Of transformers, one that :func:`runners.engine.support.why_no_slots` has nothing against.
        Between two answers, its adapters may be switched if they are put back.
    jobs
        In any number.
    decode
        Turns tokens into texts, to look for stop strings.
    options
        How much is decoded together.

    Yields
    ------
    list of Answer
        At least one, each job's exactly once.
    """
    if jobs:
        yield from _Slots(model, jobs, decode=decode, options=options).run()


def follow_slots(
    model: Any,
    jobs: Sequence[GenerationJob],
    *,
    decode: Decode,
    options: SlotOptions,
    wanted: Callable[[int], bool],
) -> Iterator[SlotState]:
    """Continue prompts as :func:`decode_slots` does, and say after each pass how far they are.

    Parameters
    ----------
    model, jobs, decode, options
        As for :func:`decode_slots`; adapters may be switched between any two passes.
    wanted
        Asked before each pass of each job that has not ended. One that is wanted no more is dropped
        without an answer.

    Yields
    ------
    SlotState
        One for each pass; when memory ran out, rows have fewer tokens than before.
    """
    if jobs:
        yield from _Slots(model, jobs, decode=decode, options=options).follow(wanted)


class _Slots:
    """Rows 0 to n_decoding - 1 decode; the rows behind them have prompt left to read."""

    def __init__(
        self, model: Any, jobs: Sequence[GenerationJob], *, decode: Decode, options: SlotOptions
    ) -> None:
        self._model = model
        self._last_layer = LastLayer(model)
        self._jobs = jobs
        self._decode = decode
        self._options = options
        self._pass_tokens = options.pass_tokens
        groups = group_prompts([job.prompt for job in jobs])
        self._queue = deque((index, group) for group in groups for index in group.members)
        self._capacity = max(
            len(jobs[index].prompt) - group.n_shared + jobs[index].params.max_new_tokens
            for index, group in self._queue
        )
        self._start(min(options.n_slots, len(jobs), self._n_affordable()))

    def _n_affordable(self) -> int:
        if self._options.memory_bytes is None:
            return len(self._jobs)
        row_bytes = self._capacity * token_bytes(self._model)
        return max(1, self._options.memory_bytes // row_bytes)

    def _start(self, n_slots: int) -> None:
        """Begin with empty slots."""
        self._n_slots = n_slots
        self._states = KeyValues(n_rows=n_slots, capacity=self._capacity)
        self._rows: list[_Row] = []
        self._n_decoding = 0
        self._latest: tuple[PromptGroup, Prefix] | None = None

    def run(self) -> Iterator[list[Answer]]:
        """Decode until all is answered, by half as much at once whenever memory runs out."""
        while self._queue or self._rows:
            answers = self._thrifty(self._next_answers)
            if answers:
                yield answers

    def follow(self, wanted: Callable[[int], bool]) -> Iterator[SlotState]:
        """Decode until all is answered or unwanted, with a stop after each pass."""
        self._drop_unwanted(wanted)
        while self._queue or self._rows:
            answers = self._thrifty(self._next_pass)
            decoding = self._rows[: self._n_decoding]
            yield SlotState({row.job: row.tokens for row in decoding}, answers)
            self._drop_unwanted(wanted)

    def _thrifty(self, step: Callable[[], list[Answer]]) -> list[Answer]:
        """Take a step; if memory runs out, begin anew with half as much at once."""
        try:
            return step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self._n_slots == self._pass_tokens == 1:
                raise
            self._queue.extendleft((row.job, row.group) for row in reversed(self._rows))
            self._pass_tokens = max(1, self._pass_tokens // 2)
            self._start(max(1, self._n_slots // 2))
            return []

    @torch.inference_mode()
    def _next_answers(self) -> list[Answer]:
        answers: list[Answer] = []
        with slot_attention(self._model):
            while not answers:
                self._admit()
                self._advance()
                answers = self._take_ended()
        return answers

    @torch.inference_mode()
    def _next_pass(self) -> list[Answer]:
        with slot_attention(self._model):
            self._admit()
            self._advance()
            return self._take_ended()

    @torch.inference_mode()
    def _drop_unwanted(self, wanted: Callable[[int], bool]) -> None:
        self._queue = deque(entry for entry in self._queue if wanted(entry[0]))
        for slot in reversed(range(len(self._rows))):
            if not wanted(self._rows[slot].job):
                self._vacate(slot)

    def _admit(self) -> None:
        """Put prompts into free slots."""
        while self._queue and len(self._rows) < self._n_slots:
            index, group = self._queue[0]
            job = self._jobs[index]
            start = time.perf_counter()
            row = _Row(
                job=index,
                group=group,
                own=job.prompt[group.n_shared :],
                prefix=self._prefix(group, job.prompt[: group.n_shared]),
                sampler=RowSampler(job.params, job.seed),
            )
            row.prefill_s = time.perf_counter() - start
            # Not before, since memory may run out on the way here.
            self._queue.popleft()
            self._rows.append(row)

    def _prefix(self, group: PromptGroup, tokens: Sequence[int]) -> Prefix | None:
        """Read a group's prefix when its first member comes; it goes with its last row."""
        if not tokens:
            return None
        if self._latest is None or self._latest[0] is not group:
            states = KeyValues(n_rows=1, capacity=len(tokens))
            for past in range(0, len(tokens), self._pass_tokens):
                part = tokens[past : past + self._pass_tokens]
                chunk = Chunk(states=states, row=0, tokens=part, past=past, prefix=None)
                self._forward(SlotPass(states=states, chunks=[chunk]), keep=[0])
            self._latest = (group, Prefix(tokens, states))
        return self._latest[1]

    def _forward(self, step: SlotPass, *, keep: Sequence[int]) -> torch.Tensor:
        return forward_slots(self._model, step, keep=keep, last_layer=self._last_layer)

    def _advance(self) -> None:
        """Run one pass: every decoding row gets a token, and prompts are read as far as fits."""
        start = time.perf_counter()
        decoding = self._rows[: self._n_decoding]
        chunks = self._chunks()
        read = self._rows[self._n_decoding :][: len(chunks)]
        step = SlotPass(
            states=self._states,
            last_tokens=[row.tokens[-1] for row in decoding],
            pasts=[row.n_read for row in decoding],
            prefixes=[row.prefix for row in decoding],
            chunks=chunks,
        )
        ready = [
            row
            for row, c in zip(read, chunks, strict=True)
            if c.past + len(c.tokens) == len(row.own)
        ]
        keep = list(range(len(decoding)))
        at = len(decoding)
        for chunk in chunks:
            at += len(chunk.tokens)
            keep.append(at - 1)
        choosing = [*decoding, *ready]
        logits = self._forward(step, keep=keep[: len(choosing)] or [0])
        if choosing:
            picked = pick_tokens(logits[: len(choosing)], [row.sampler for row in choosing])
            for row, token in zip(choosing, picked, strict=True):
                row.tokens.append(token)
        share_s = (time.perf_counter() - start) / len(step.tokens)
        for row in decoding:
            row.n_read += 1
            row.decode_s += share_s
        for row, chunk in zip(read, chunks, strict=True):
            row.n_read += len(chunk.tokens)
            row.prefill_s += share_s * len(chunk.tokens)
        self._n_decoding += len(ready)

    def _chunks(self) -> list[Chunk]:
        """Take as much of the waiting prompts as a pass may read, in the order of the slots."""
        chunks: list[Chunk] = []
        room = self._pass_tokens
        for slot in range(self._n_decoding, len(self._rows)):
            if room == 0:
                break
            row = self._rows[slot]
            tokens = row.own[row.n_read : row.n_read + room]
            chunks.append(
                Chunk(
                    states=self._states,
                    row=slot,
                    tokens=tokens,
                    past=row.n_read,
                    prefix=row.prefix,
                )
            )
            room -= len(tokens)
        return chunks

    def _take_ended(self) -> list[Answer]:
        """Take out rows whose answer has ended; rows from behind move into their slots."""
        stopped = self._stopped(self._rows[: self._n_decoding])
        answers = []
        for slot in reversed(range(self._n_decoding)):
            row = self._rows[slot]
            most = self._jobs[row.job].params.max_new_tokens
            if row in stopped or len(row.tokens) == most:
                answers.append(row.answer(stopped=row in stopped))
                self._vacate(slot)
        return answers

    def _stopped(self, rows: Sequence[_Row]) -> list[_Row]:
        """Return the rows that ended by themselves with their latest token."""
        answers = [(row.tokens, self._jobs[row.job].ending) for row in rows]
        ended = stopped_answers(answers, self._decode)
        return [row for row, has_ended in zip(rows, ended, strict=True) if has_ended]

    def _vacate(self, slot: int) -> None:
        """Remove a row; the last decoding and the last waiting row close the gaps."""
        if slot < self._n_decoding:
            self._n_decoding -= 1
            self._move(self._n_decoding, slot)
            slot = self._n_decoding
        self._move(len(self._rows) - 1, slot)
        self._rows.pop()

    def _move(self, source: int, target: int) -> None:
        if source != target:
            self._rows[target] = self._rows[source]
            self._states.move(source, target, self._rows[target].n_read)


def stopped_answers(answers: Sequence[tuple[Sequence[int], Ending]], decode: Decode) -> list[bool]:
    """Say of each answer so far whether its latest token ended it: a mark, or a stop string."""
    stopped = [tokens[-1] in ending.tokens for tokens, ending in answers]
    watched = [index for index, (_, ending) in enumerate(answers) if ending.strings]
    if watched:
        texts = decode([answers[index][0][-answers[index][1].n_tail :] for index in watched])
        for index, text in zip(watched, texts, strict=True):
            stopped[index] = stopped[index] or answers[index][1].is_in(text)
    return stopped
