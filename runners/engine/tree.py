"""A chunk's sequences as one tree of tokens, and how its rows attend.

Rows are the tree's nodes in depth-first order, so that a node's descendants follow it directly and
its ancestors are one path. The keys and values of the path to the present row lie in one buffer,
indexed by depth: a row attends to the beginning of that buffer and to nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runners.engine.planning import Chunk

__all__ = ["Integers", "Segment", "Tree", "grow_tree", "own_mask", "segments"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Distinct beginnings of a chunk's sequences, and what is asked of them."""

    tokens: Integers
    """(n_rows,)"""
    depth: Integers
    """(n_rows,) Position in the sequence, from 0."""
    end: Integers
    """(n_rows,) One past a row's last descendant."""
    scored_row: Integers
    """(n_scored,) Row whose prediction is read, span by span."""
    target: Integers
    """(n_scored,) Token whose probability is read there."""

    def read_rows(self, start: int, stop: int) -> Integers:
        """Return the rows from start to stop whose prediction is read, in order."""
        here = (self.scored_row >= start) & (self.scored_row < stop)
        return np.unique(self.scored_row[here])


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that attend together: to the path above the first of them, and among themselves.

    They are a stretch of one path, or the whole of neighbouring subtrees; nothing else ever
    attends to the latter.
    """

    start: int
    stop: int


def grow_tree(chunk: Chunk) -> Tree:
    """Merge a chunk's sequences, each of which shares a beginning with the one before."""
    tokens: list[Integers] = []
    depth: list[Integers] = []
    scored: list[Integers] = []
    n_rows = sum(len(span.inputs) for span in chunk.spans) - sum(chunk.shared)
    end = np.full(n_rows, n_rows, np.int64)
    path = np.empty(0, np.int64)
    at = 0
    for span, shared in zip(chunk.spans, chunk.shared, strict=True):
        end[path[shared:]] = at
        new = np.asarray(span.inputs[shared:], np.int64)
        tokens.append(new)
        depth.append(np.arange(shared, shared + len(new)))
        path = np.concatenate([path[:shared], np.arange(at, at + len(new))])
        at += len(new)
        scored.append(path[len(path) - len(span.targets) :])
    return Tree(
        tokens=np.concatenate(tokens),
        depth=np.concatenate(depth),
        end=end,
        scored_row=np.concatenate(scored),
        target=np.concatenate([np.asarray(span.targets, np.int64) for span in chunk.spans]),
    )


def segments(tree: Tree, start: int, stop: int, limit: int) -> Iterator[Segment]:
    """Cut rows into segments of at most `limit` rows, in order.

    Neighbouring subtrees that fit go together; of a subtree that doesn't, the path down to where
    it branches is cut off first.

    Parameters
    ----------
    tree
        The tree.
    start, stop
        Which rows; the first one's path, and no row's subtree, may reach out of them.
    limit
        At least 1.
    """
    # Lists are read much faster than arrays, one element at a time.
    end, depth = tree.end.tolist(), tree.depth.tolist()
    at = start
    while at < stop:
        first = at
        if min(end[at], stop) - first <= limit:
            while at < stop and depth[at] == depth[first] and min(end[at], stop) - first <= limit:
                at = min(end[at], stop)
        else:
            at += 1
            while at < stop and at - first < limit and end[at] == end[at - 1]:
                at += 1
        yield Segment(first, at)


def own_mask(tree: Tree, segment: Segment) -> NDArray[np.bool_]:
    """Return (n_rows, n_rows): whether a segment's row descends from another, or is it."""
    rows = np.arange(segment.start, segment.stop)
    end = tree.end[segment.start : segment.stop]
    mask: NDArray[np.bool_] = (rows[:, None] >= rows) & (rows[:, None] < end)
    return mask
