"""Answers by llama.cpp, several at once: each that ends makes place for the next prompt."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from runners.engine.generation import Answer, GenerationJob, SlotState, stopped_answers
from runners.engine.generation_prefixes import PromptGroup, group_prompts
from runners.engine.sampling import RowSampler, pick_tokens
from runners.gguf.context import Batch, Context, ContextSize
from runners.hf.generation import Decode

__all__ = ["GenerationPlan", "follow_answers", "generation_plan"]

_PASS_TOKENS = 512
_MOST_ROWS = 255
"""llama.cpp has 256 sequences at most; one is for a beginning that prompts share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPlan:
    """What is decoded together, and what that needs room for."""

    groups: Sequence[PromptGroup]
    n_rows: int
    size: ContextSize


def generation_plan(
    jobs: Sequence[GenerationJob], *, most_rows: int, cell_bytes: int, memory_bytes: int
) -> GenerationPlan:
    """Say how many answers are written at once.

    Parameters
    ----------
    jobs
        At least one.
    most_rows
        At least 1.
    cell_bytes
        Keys and values of one token.
    memory_bytes
        For all of them; a single answer takes what it needs.
    """
    groups = group_prompts([job.prompt for job in jobs])
    # llama.cpp gives each sequence a multiple of 256.
    capacity = max(-(-(len(job.prompt) + job.params.max_new_tokens) // 256) * 256 for job in jobs)
    n_shared = int(any(group.n_shared for group in groups))
    affordable = memory_bytes // (capacity * cell_bytes) - n_shared
    n_rows = max(1, min(len(jobs), most_rows, _MOST_ROWS, affordable))
    size = ContextSize(
        n_cells=capacity * (n_rows + n_shared),
        n_sequences=n_rows + n_shared,
        n_batch=_PASS_TOKENS + n_rows,
        n_outputs=n_rows + n_shared,
        shares_cells=False,
    )
    return GenerationPlan(groups=groups, n_rows=n_rows, size=size)


def follow_answers(
    context: Context,
    jobs: Sequence[GenerationJob],
    plan: GenerationPlan,
    *,
    decode: Decode,
    wanted: Callable[[int], bool],
) -> Iterator[SlotState]:
    """Continue prompts, and say after each pass how far they are.

    All rows advance by one token in each pass, which also reads what fits of the prompts that took
    the places of rows that ended. A beginning that prompts share is read once.

    Parameters
    ----------
    context
        Of the plan's size, empty.
    jobs, plan
        What is to be done.
    decode
        Turns tokens into texts, to look for stop strings.
    wanted
        Asked before each pass of each job that has not ended; one that is wanted no more is dropped
        without an answer.
    """
    rows = _Rows(context, jobs, plan, decode)
    rows.drop_unwanted(wanted)
    while rows.has_work:
        answers = rows.advance()
        yield SlotState(rows.tokens, answers)
        rows.drop_unwanted(wanted)


@dataclass(slots=True, eq=False)
class _Row:
    """An answer in the making, or its prompt."""

    job: int
    sequence: int
    prompt: Sequence[int]
    sampler: RowSampler
    n_read: int
    """Tokens that have been evaluated."""
    tokens: list[int] = field(default_factory=list)
    prefill_s: float = 0.0
    decode_s: float = 0.0

    def waiting(self, room: int) -> Sequence[int]:
        """Return the tokens to evaluate next."""
        if self.tokens:
            return self.tokens[-1:]
        return self.prompt[self.n_read : self.n_read + room]

    def answer(self, *, stopped: bool) -> Answer:
        return Answer(
            job=self.job,
            tokens=self.tokens,
            stopped=stopped,
            prefill_s=self.prefill_s,
            decode_s=self.decode_s,
        )


class _Rows:
    """The answers that are being written, each in a sequence of its own."""

    def __init__(
        self,
        context: Context,
        jobs: Sequence[GenerationJob],
        plan: GenerationPlan,
        decode: Decode,
    ) -> None:
        self._context = context
        self._jobs = jobs
        self._decode = decode
        self._queue = deque((index, group) for group in plan.groups for index in group.members)
        self._free = list(range(plan.n_rows))[::-1]
        self._shared_sequence = plan.n_rows
        self._shared: PromptGroup | None = None
        self._rows: list[_Row] = []

    @property
    def has_work(self) -> bool:
        return bool(self._queue or self._rows)

    @property
    def tokens(self) -> dict[int, Sequence[int]]:
        """Generated so far, by job, of the answers that go on."""
        return {row.job: row.tokens for row in self._rows if row.tokens}

    def drop_unwanted(self, wanted: Callable[[int], bool]) -> None:
        self._queue = deque(entry for entry in self._queue if wanted(entry[0]))
        for row in [row for row in self._rows if not wanted(row.job)]:
            self._vacate(row)

    def advance(self) -> list[Answer]:
        """Run one pass; return the answers that ended with it."""
        start = time.perf_counter()
        self._admit()
        parts = self._parts()
        chosen = [
            row for row, part in parts if row.tokens or row.n_read + len(part) == len(row.prompt)
        ]
        logits = self._context.evaluate(_batch(parts, {id(row) for row in chosen}))
        was_decoding = [bool(row.tokens) for row, _ in parts]
        for row, part in parts:
            row.n_read += len(part)
        if chosen:
            picked = _picked(logits, [row.sampler for row in chosen])
            for row, token in zip(chosen, picked, strict=True):
                row.tokens.append(token)
        share_s = (time.perf_counter() - start) / sum(len(part) for _, part in parts)
        for (row, part), is_decoding in zip(parts, was_decoding, strict=True):
            if is_decoding:
                row.decode_s += share_s
            else:
                row.prefill_s += share_s * len(part)
        return self._take_ended(chosen)

    def _admit(self) -> None:
        """Give prompts the free sequences."""
        while self._queue and self._free:
            index, group = self._queue.popleft()
            job, sequence = self._jobs[index], self._free.pop()
            start = time.perf_counter()
            self._share(group, job.prompt[: group.n_shared], sequence)
            row = _Row(
                job=index,
                sequence=sequence,
                prompt=job.prompt,
                sampler=RowSampler(job.params, job.seed),
                n_read=group.n_shared,
            )
            row.prefill_s = time.perf_counter() - start
            self._rows.append(row)

    def _share(self, group: PromptGroup, tokens: Sequence[int], sequence: int) -> None:
        """Begin a sequence with what its group has in common, read when its first member comes."""
        if not tokens:
            return
        if self._shared is not group:
            self._context.cut(self._shared_sequence)
            for past in range(0, len(tokens), _PASS_TOKENS):
                part = tokens[past : past + _PASS_TOKENS]
                self._context.evaluate(_plain_batch(part, past, self._shared_sequence))
            self._shared = group
        self._context.copy(self._shared_sequence, sequence)

    def _parts(self) -> list[tuple[_Row, Sequence[int]]]:
        """Return what each row evaluates in this pass, those that write before those that read."""
        writing = [row for row in self._rows if row.tokens]
        parts = [(row, row.waiting(1)) for row in writing]
        room = _PASS_TOKENS
        for row in self._rows:
            if not row.tokens and room > 0:
                part = row.waiting(room)
                parts.append((row, part))
                room -= len(part)
        return parts

    def _take_ended(self, chosen: Sequence[_Row]) -> list[Answer]:
        so_far = [(row.tokens, self._jobs[row.job].ending) for row in chosen]
        answers = []
        for row, stopped in zip(chosen, stopped_answers(so_far, self._decode), strict=True):
            if stopped or len(row.tokens) == self._jobs[row.job].params.max_new_tokens:
                answers.append(row.answer(stopped=stopped))
                self._vacate(row)
        return answers

    def _vacate(self, row: _Row) -> None:
        self._context.cut(row.sequence)
        self._free.append(row.sequence)
        self._rows.remove(row)


def _batch(parts: Sequence[tuple[_Row, Sequence[int]]], chosen: set[int]) -> Batch:
    """Put the parts of all rows behind each other; of chosen rows the last token is read."""
    tokens = [token for _, part in parts for token in part]
    positions = [row.n_read + at for row, part in parts for at in range(len(part))]
    sequences = [row.sequence for row, part in parts for _ in part]
    is_read = [
        at == len(part) - 1 and id(row) in chosen for row, part in parts for at in range(len(part))
    ]
    return Batch(
        tokens=np.array(tokens, np.int32),
        positions=np.array(positions, np.int32),
        sequences=np.array(sequences, np.int32),
        n_sequences=np.ones(len(tokens), np.int32),
        is_read=np.array(is_read, np.int8),
    )


def _picked(logits: NDArray[np.float32], samplers: Sequence[RowSampler]) -> list[int]:
    """Choose each row's next token; where all are the likeliest, without a detour."""
    if all(sampler.settings[0] == 0.0 for sampler in samplers):
        picked: list[int] = logits.argmax(axis=1).tolist()
        return picked
    return pick_tokens(torch.from_numpy(logits), samplers)


def _plain_batch(tokens: Sequence[int], past: int, sequence: int) -> Batch:
    n = len(tokens)
    return Batch(
        tokens=np.asarray(tokens, np.int32),
        positions=np.arange(past, past + n, dtype=np.int32),
        sequences=np.full(n, sequence, np.int32),
        n_sequences=np.ones(n, np.int32),
        is_read=np.zeros(n, np.int8),
    )
