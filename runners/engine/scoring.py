"""Log-likelihoods with everything computed once that requests have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from evalcore.protocols import Loglikelihood
from runners.engine.last_layer import LastLayer
from runners.engine.memory import Governor, is_out_of_memory
from runners.engine.planning import Chunk, Sizes, plan_chunks
from runners.engine.reading import Booleans, Floats, read_scores
from runners.engine.tree import Integers, Segment, Tree, grow_tree, segments
from runners.engine.tree_attention import PathStates, Piece, tree_attention
from runners.hf.scoring import Span

__all__ = ["Scored", "TreeScorer", "by_request"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A chunk's results."""

    results: Sequence[tuple[int, Loglikelihood]]
    """With the positions of their requests."""
    n_tokens: int
    """What the requests' spans read, all of them together."""
    n_computed: int
    """What of it went through the model."""
    duration_s: float


class TreeScorer:
    """Scores chunks of spans on a model whose architecture it knows how to drive.

    Each chunk's sequences are merged into one tree. Its trunk, the beginning that all share, is
    computed in whole blocks that stay in memory for the chunks that share them too; the rest goes
    through the model in as few passes as memory allows, every distinct token once, and the output
    layer is applied only where a score is read.

    Parameters
    ----------
    model
        Of transformers.
    governor
        Says how many rows go through at once.
    sizes
        As the chunks were planned with.
    """

    def __init__(self, model: Any, governor: Governor, sizes: Sizes) -> None:
        self._model = model
        self._governor = governor
        self._sizes = sizes
        self._last_layer = LastLayer(model)
        self._device = model.get_input_embeddings().weight.device
        self._variant: Hashable = None
        self._planned: tuple[Hashable, Sequence[Chunk]] = (None, ())
        self.forget()

    def forget(self) -> None:
        """Drop the keys and values of the last trunk."""
        self.states = PathStates()
        self._trunk: list[int] = []

    def plan(
        self, key: Hashable, make_work: Callable[[], Sequence[Sequence[Span]]]
    ) -> Sequence[Chunk]:
        """Return the chunks of a job; asked again with the same key, those made before.

        So the variants of one base tokenise and sort the requests they have in common once.
        """
        if key != self._planned[0]:
            self._planned = (key, list(plan_chunks(make_work(), self._sizes)))
        return self._planned[1]

    def score(self, chunk: Chunk, *, variant: Hashable = None) -> Scored:
        """Score one chunk.

        When memory runs out, the chunk is computed again in passes of half the size; only a
        single row that doesn't fit lets the error through.

        Parameters
        ----------
        chunk
            Of a job; a job's chunks come in order.
        variant
            What the weights are at present; a trunk is used again only by the same.
        """
        start = time.perf_counter()
        if variant != self._variant:
            self.forget()
            self._variant = variant
        tree = grow_tree(chunk)
        while True:
            try:
                logprobs, is_greedy, n_computed = self._read(tree, chunk.n_trunk)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or not self._governor.halve():
                    raise
            self.forget()
        return Scored(
            results=list(by_request(chunk, logprobs, is_greedy)),
            n_tokens=sum(len(span.inputs) for span in chunk.spans),
            n_computed=n_computed,
            duration_s=time.perf_counter() - start,
        )

    @torch.inference_mode()
    def _read(self, tree: Tree, n_trunk: int) -> tuple[Floats, Booleans, int]:
        logprobs = np.zeros(len(tree.target))
        is_greedy = np.ones(len(tree.target), bool)
        known = self._known_blocks(tree, n_trunk)
        n_computed = 0
        with tree_attention(self._model):
            for parts in self._passes(tree, known, n_trunk):
                piece = Piece(tree, parts, self.states, last_layer=self._last_layer.index)
                n_computed += piece.stop - piece.start
                here = (tree.scored_row >= piece.start) & (tree.scored_row < piece.stop)
                at = np.flatnonzero(here)
                logprobs[at], is_greedy[at] = self._forward(tree, piece, at)
        self._trunk = tree.tokens[:n_trunk].tolist()
        return logprobs, is_greedy, n_computed

    def _known_blocks(self, tree: Tree, n_trunk: int) -> int:
        """Return how many tokens of the trunk are in memory, a multiple of the block size."""
        n = min(n_trunk, len(self._trunk))
        same = tree.tokens[:n] == np.asarray(self._trunk[:n], np.int64)
        n_same = n if same.all() else int(same.argmin())
        # From here on the buffer changes; should that fail, nothing in it is to be trusted.
        self._trunk = []
        return n_same - n_same % self._sizes.block_tokens

    def _passes(self, tree: Tree, start: int, n_trunk: int) -> Iterator[Sequence[Segment]]:
        """Yield the segments of each forward pass: the trunk's missing blocks, then the rest."""
        block = self._sizes.block_tokens
        for at in range(start, n_trunk, block):
            yield from self._packed(tree, at, at + block)
        yield from self._packed(tree, n_trunk, len(tree.tokens))

    def _packed(self, tree: Tree, start: int, stop: int) -> Iterator[Sequence[Segment]]:
        limit = min(self._sizes.segment_tokens, self._governor.segment_rows)
        is_scored = np.zeros(len(tree.tokens) + 1, np.int64)
        is_scored[tree.scored_row + 1] = 1
        n_scored = is_scored.cumsum()
        packed: list[Segment] = []
        for part in segments(tree, start, stop, limit):
            first = packed[0].start if packed else part.start
            fits = self._governor.room_for(
                part.stop - first,
                n_scored=int(n_scored[part.stop] - n_scored[first]),
                depth=int(tree.depth[first : part.stop].max()),
            )
            if packed and not fits:
                yield packed
                packed = []
            packed.append(part)
        yield packed

    def _forward(self, tree: Tree, piece: Piece, at: Integers) -> tuple[Floats, Booleans]:
        """Run a piece through the model and read the scores at these places."""
        rows, inverse = np.unique(tree.scored_row[at] - piece.start, return_inverse=True)
        here = slice(piece.start, piece.stop)
        # The index of a last row that nothing is read from: no index would mean all.
        read = self._tensor(rows if len(rows) else np.array([0]))
        with self._last_layer.only(read, piece.stop - piece.start):
            logits = self._model(
                input_ids=self._tensor(tree.tokens[here])[None],
                position_ids=self._tensor(tree.depth[here])[None],
                use_cache=False,
                logits_to_keep=read.to(self._last_layer.device),
                tree_piece=piece,
            ).logits[0]
        return read_scores(logits, inverse, tree.target[at])

    def _tensor(self, values: Integers) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)


def by_request(
    chunk: Chunk, logprobs: Floats, is_greedy: Booleans
) -> Iterator[tuple[int, Loglikelihood]]:
    """Sum up what was read for a chunk's spans, one after the other, by request."""
    start = 0
    for request, spans in zip(chunk.requests, chunk.work, strict=True):
        here = slice(start, start + sum(len(span.targets) for span in spans))
        start = here.stop
        yield (
            request,
            Loglikelihood(
                logprob=float(logprobs[here].sum()),
                is_greedy=bool(is_greedy[here].all()),
                n_tokens=here.stop - here.start,
                n_truncated=sum(span.n_truncated for span in spans),
            ),
        )
