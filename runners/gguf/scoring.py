"""Log-likelihoods by llama.cpp, everything computed once that requests have in common.

A chunk's sequences are one tree (:mod:`runners.engine.tree`), whose nodes go through the model in
depth-first order. A token that several branches share belongs to the sequence of each, which costs
llama.cpp nothing; the path down to where a batch begins is kept as sequence 0.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from runners.engine.planning import Chunk, Sizes
from runners.engine.scoring import Scored, by_request
from runners.engine.tree import Tree, grow_tree
from runners.gguf.context import Batch, Context, ContextSize

__all__ = ["BatchScorer", "scoring_size"]

_PATH = 0
_BATCH_TOKENS = 128
"""As fast as longer ones on a CPU, and what is computed of them takes a third of the memory."""
_MOST_BRANCHES = 63
"""And as many tokens of a batch whose logits are read: they are kept twice, a vocabulary each."""


def scoring_size(longest: int) -> ContextSize:
    """Return what scoring needs room for: a path as long as the longest input, and one batch."""
    return ContextSize(
        n_cells=longest + _BATCH_TOKENS,
        n_sequences=_MOST_BRANCHES + 1,
        n_batch=_BATCH_TOKENS,
        n_outputs=_MOST_BRANCHES + 1,
        shares_cells=True,
    )


class BatchScorer:
    """Scores chunks, in order, in a context of their own.

    Where a chunk's tokens lie in the context hangs on the chunk alone: what is kept of those before
    are the leading blocks of its trunk, which always lie, and were always computed, the same way.
    """

    def __init__(self, context: Context, sizes: Sizes) -> None:
        self._context = context
        self._sizes = sizes
        self._trunk: list[int] = []

    def score(self, chunk: Chunk) -> Scored:
        """Score one chunk."""
        start = time.perf_counter()
        tree = grow_tree(chunk)
        logprobs = np.zeros(len(tree.target))
        is_greedy = np.ones(len(tree.target), bool)
        known = self._recall(tree, chunk.n_trunk)
        for first, stop in self._batches(tree, known, chunk.n_trunk):
            batch = _branches(tree, first, stop)
            here = np.flatnonzero((tree.scored_row >= first) & (tree.scored_row < stop))
            logits = self._evaluate(batch)
            if len(here):
                _, row = np.unique(tree.scored_row[here], return_inverse=True)
                logprobs[here], is_greedy[here] = _read(logits, row, tree.target[here])
            if stop < len(tree.tokens):
                self._descend(batch, int(tree.depth[stop]))
        self._trunk = tree.tokens[: chunk.n_trunk].tolist()
        return Scored(
            results=list(by_request(chunk, logprobs, is_greedy)),
            n_tokens=sum(len(span.inputs) for span in chunk.spans),
            n_computed=len(tree.tokens) - known,
            duration_s=time.perf_counter() - start,
        )

    def _recall(self, tree: Tree, n_trunk: int) -> int:
        """Forget all but the blocks of the trunk that are known; return their tokens."""
        n = min(n_trunk, len(self._trunk))
        same = tree.tokens[:n] == np.asarray(self._trunk[:n], np.int64)
        n_same = n if same.all() else int(same.argmin())
        known = n_same - n_same % self._sizes.block_tokens
        self._trunk = []
        if known == 0:
            self._context.clear()
        else:
            self._context.keep(_PATH)
            self._context.cut(_PATH, known)
        return known

    def _batches(self, tree: Tree, start: int, n_trunk: int) -> Iterator[tuple[int, int]]:
        """Yield the rows of each evaluation: the trunk's missing blocks, then the rest."""
        block = self._sizes.block_tokens
        for at in range(start, n_trunk, block):
            yield at, at + block
        # Lists are read much faster than arrays, one element at a time.
        depth = tree.depth.tolist()
        is_scored = set(tree.scored_row.tolist())
        size = self._context.size
        first, n_branches, n_scored = n_trunk, 0, 0
        for at in range(n_trunk, len(depth)):
            n_branches += at == first or depth[at] <= depth[at - 1]
            n_scored += at in is_scored
            is_full = at - first == size.n_batch or n_scored > size.n_outputs
            if is_full or n_branches > size.n_sequences - 1:
                yield first, at
                first, n_branches, n_scored = at, 1, int(at in is_scored)
        yield first, len(depth)

    def _evaluate(self, batch: _Branches) -> NDArray[np.float32]:
        """Let every branch begin with what it has of the path, and evaluate."""
        for branch, n_path in enumerate(batch.n_path, start=1):
            if n_path:
                self._context.copy(_PATH, branch, 0, n_path)
        return self._context.evaluate(batch.batch)

    def _descend(self, batch: _Branches, depth: int) -> None:
        """Make the path that of the row that comes next, which hangs on the last branch."""
        last = len(batch.n_path)
        n_path = min(batch.n_path[-1], depth)
        self._context.cut(_PATH, n_path)
        if depth > n_path:
            self._context.copy(last, _PATH, n_path, depth)
        self._context.keep(_PATH)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Branches:
    """Rows of a tree to evaluate; each branch down to a row without followers is a sequence."""

    batch: Batch
    n_path: list[int]
    """For each branch, the tokens that it has in common with the path above the first row."""


def _branches(tree: Tree, first: int, stop: int) -> _Branches:
    rows = np.arange(first, stop)
    depth = tree.depth[first:stop]
    ends_here = np.ones(len(rows), bool)
    ends_here[:-1] = depth[1:] <= depth[:-1]
    # Branch k is sequence k + 1; a row belongs to those that end among its descendants.
    n_before = np.concatenate([[0], np.cumsum(ends_here)])
    first_branch = n_before[:-1]
    n_branches = n_before[np.minimum(tree.end[first:stop], stop) - first] - first_branch
    ends = np.cumsum(n_branches)
    offsets = np.arange(ends[-1]) - np.repeat(ends - n_branches, n_branches)
    is_read = np.zeros(len(rows), np.int8)
    is_read[tree.read_rows(first, stop) - first] = 1
    # The shallowest row so far is where a branch left the path.
    top = np.minimum.accumulate(depth)
    return _Branches(
        batch=Batch(
            tokens=tree.tokens[first:stop].astype(np.int32),
            positions=depth.astype(np.int32),
            sequences=(np.repeat(first_branch, n_branches) + offsets + 1).astype(np.int32),
            n_sequences=n_branches.astype(np.int32),
            is_read=is_read,
        ),
        n_path=top[ends_here].tolist(),
    )


def _read(
    logits: NDArray[np.float32], row: NDArray[np.int64], target: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return log-probabilities of tokens, and whether each is the likeliest; logits are used up."""
    rows = torch.from_numpy(logits)
    at, token = torch.from_numpy(row), torch.from_numpy(np.ascontiguousarray(target))
    most, likeliest = rows.max(-1)
    picked = rows[at, token].double()
    # In place: what is computed of all rows would be another copy of them.
    normalizers = rows.sub_(most[:, None]).exp_().sum(-1).log_().add_(most)
    return (picked - normalizers[at].double()).numpy(), (likeliest[at] == token).numpy()
