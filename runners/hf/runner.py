"""Requests to a model of transformers, one variant of a resident base at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final, cast

from evalcore.errors import ModelError
from evalcore.protocols import (
    Completion,
    Distributions,
    Finished,
    GenerateRequest,
    Loglikelihood,
    LoglikelihoodRequest,
    Piece,
    Request,
    RollingRequest,
)
from evalcore.records import ModelSpec
from runners.adapter_kinds import open_adapter
from runners.engine.generation import SlotOptions, decode_slots
from runners.engine.generation_prefixes import group_prompts
from runners.engine.memory import free_bytes
from runners.engine.planning import Chunk
from runners.engine.scoring import Scored, TreeScorer
from runners.engine.support import why_no_slots
from runners.hf.distributions import text_distributions
from runners.hf.encoding import Encoder
from runners.hf.footprint import held_bytes
from runners.hf.loading import Base
from runners.hf.pictures import PictureRunner, image_mark, separately
from runners.hf.plain import PlainRunner
from runners.hf.streaming import stream_slots
from runners.options import RunnerOptions
from runners.results import completed
from runners.token_runner import InterleavedTokenRunner
from runners.token_work import Work, scored_results, without_spans

__all__ = ["HfRunner"]

_LOG = logging.getLogger(__name__)
_ROUNDS: Final = 4
"""Prompts of a part by rows: the last round leaves rows empty."""


class HfRunner(InterleavedTokenRunner):
    """A variant of a resident base; see :class:`evalcore.protocols.Runner`.

    Runners of one base may be used in turns: each puts its own adapters in place first. The base
    is not theirs, so closing one gives back nothing but the use of it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        base: Base,
        options: RunnerOptions,
        trees: Callable[[], TreeScorer | None],
    ) -> None:
        is_merged = spec.combination is not None and spec.combination.is_merged
        self._worn = ((), None) if is_merged else (spec.adapters, spec.combination)
        base.adapters.activate(*self._worn)
        super().__init__(
            spec,
            encoder=Encoder(base.tokenizer, spec, image_mark=image_mark(base.processor)),
            # Virtual tokens take their place from a text.
            window=base.window - base.adapters.n_virtual,
            end_tokens=base.end_tokens,
        )
        self._base: Base | None = base
        self._options = options
        self._trees = trees
        self._slots: bool | None = None
        self._has_told = False
        self._size_on_disk_bytes = base.size_on_disk_bytes + sum(
            open_adapter(Path(adapter.path)).weight_file.stat().st_size for adapter in spec.adapters
        )

    @property
    def reads_images(self) -> bool:
        """Whether its model takes requests with images."""
        return self._base is not None and self._base.processor is not None

    @property
    def encoder(self) -> Encoder:
        """The tokenizer with this variant's chat template."""
        return self._encoder

    def generate(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        """Continue each prompt.

        A prompt that leaves no room for ``max_new_tokens`` in the window is cut on its left, and
        what was cut is counted in ``n_truncated``. Rows that have ended make place for others at
        once, and beginnings that prompts share are read once. Models for which that can't be done
        (:func:`runners.engine.support.why_no_slots`) decode in static batches, those requests
        together that differ in nothing but their prompts and seeds.

        Raises
        ------
        InputError
            For sampling parameters outside their ranges.
        """
        yield from separately(requests, self._answer_texts, self._pictures.generate)

    def _answer_texts(self, requests: Sequence[GenerateRequest]) -> Iterator[Finished[Completion]]:
        prompts = self._work.prompts(requests)
        decode = self._in_slots if self._can_use_slots() else self._plain.generate
        yield from decode(requests, prompts)

    @property
    def _plain(self) -> PlainRunner:
        return PlainRunner(
            self._encoder,
            self._work,
            ready=lambda: self._ready,
            options=self._options,
            size_on_disk_bytes=self._size_on_disk_bytes,
        )

    @property
    def _pictures(self) -> PictureRunner:
        return PictureRunner(
            self._encoder,
            ready=lambda: self._ready,
            ending=self._work.ending,
            options=self._options,
            size_on_disk_bytes=self._size_on_disk_bytes,
        )

    def stream_together(
        self, requests: Sequence[GenerateRequest], *, wanted: Callable[[int], bool]
    ) -> Generator[Sequence[Piece], None, None]:
        """Yield answers' pieces; their steps and those of other variants may take turns."""
        prompts = self._work.prompts(requests)
        if self._can_use_slots():
            steps: Generator[Sequence[Piece], None, None] = stream_slots(
                self._ready.model,
                self._work.jobs(requests, prompts),
                decode=self._encoder.decode,
                options=self._slot_options(),
                wanted=wanted,
            )
        else:
            steps = self._plain.stream(requests, prompts, wanted=wanted)
        with closing(steps):
            for pieces in steps:
                yield pieces
                # Another variant may have been used in the meantime: put the adapters back.
                _ = self._ready

    def _can_use_slots(self) -> bool:
        if self._options.engine == "plain":
            return False
        if self._slots is None:
            base = self._ready
            reason = self._why_plain or why_no_slots(base.model)
            if reason is not None:
                _LOG.warning("%s decodes in static batches: %s", self._spec.name, reason)
            self._slots = reason is None
        return self._slots

    def _in_slots(
        self, requests: Sequence[GenerateRequest], prompts: Sequence[list[int]]
    ) -> Iterator[Finished[Completion]]:
        jobs = self._work.jobs(requests, prompts)
        base = self._ready
        options = self._slot_options()
        for answers in decode_slots(base.model, jobs, decode=self._encoder.decode, options=options):
            yield completed(
                answers,
                jobs,
                prompts,
                decode=self._encoder.decode,
                size_on_disk_bytes=self._size_on_disk_bytes,
            )
            # Another variant may have been used in the meantime: put the adapters back.
            base = self._ready

    def _slot_options(self) -> SlotOptions:
        return SlotOptions(
            n_slots=self._options.batch_size,
            pass_tokens=min(self._options.batch_tokens, SlotOptions().pass_tokens),
            memory_bytes=self._options.memory_bytes or free_bytes(self._ready.model.device) // 2,
        )

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Log-probability of each continuation given its context and pictures.

        Raises
        ------
        InputError
            If a continuation alone is longer than the window.
        """
        yield from separately(requests, super().loglikelihood, self._pictures.loglikelihood)

    def plan(self, requests: Sequence[Request]) -> list[list[int]]:
        """Return which requests of a job are computed together.

        Of scores, these are the chunks of the tree, or static batches; of answers, as many prompts
        with the longest common beginnings as keep all rows busy for several rounds. Requests with
        pictures stay in their order.
        """
        shown = [place for place, request in enumerate(requests) if getattr(request, "images", ())]
        with_pictures = frozenset(shown)
        read = [place for place in range(len(requests)) if place not in with_pictures]
        parts = self._text_parts([requests[place] for place in read])
        size = _ROUNDS * self._options.batch_size
        return [
            *([read[at] for at in part] for part in parts),
            *(shown[start : start + size] for start in range(0, len(shown), size)),
        ]

    def _text_parts(self, requests: Sequence[Request]) -> list[list[int]]:
        if requests and isinstance(requests[0], GenerateRequest):
            return self._generated_parts(cast("Sequence[GenerateRequest]", requests))
        if requests and isinstance(requests[0], LoglikelihoodRequest):
            pairs = cast("Sequence[LoglikelihoodRequest]", requests)
            return self._scored_parts(partial(self._work.pairs, pairs), requests)
        texts = cast("Sequence[RollingRequest]", requests)
        return self._scored_parts(partial(self._work.texts, texts), requests)

    @property
    def weights_bytes(self) -> int:
        """Memory that base and adapters take as they are held."""
        return held_bytes(self._ready.model)

    def distributions(self, texts: Sequence[str], *, max_tokens: int) -> Iterator[Distributions]:
        """Yield what is held possible at each place of each text, one text after the other."""
        window, first = min(self._work.window, max_tokens), self._encoder.first_token
        for tokens in self._encoder.texts(texts):
            # Another variant may have been used in the meantime: put the adapters back.
            yield text_distributions(self._ready.model, tokens[:window], first_token=first)

    def close(self) -> None:
        """Let go of the base; the runner can't be used afterwards."""
        self._base = None

    @property
    def _ready(self) -> Base:
        """The base with this variant's adapters active."""
        if self._base is None:
            raise ModelError(
                f"model {self._spec.name!r} is closed; it ran until the next was asked"
            )
        self._base.adapters.activate(*self._worn)
        return self._base

    def _generated_parts(self, requests: Sequence[GenerateRequest]) -> list[list[int]]:
        prompts = self._work.prompts(requests)
        if not self._can_use_slots():
            return list(self._plain.decoding_plan(requests, prompts))
        order = [index for group in group_prompts(prompts) for index in group.members]
        size = _ROUNDS * self._options.batch_size
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _scored_parts(
        self, work: Callable[[], Work], requests: Sequence[Request]
    ) -> list[list[int]]:
        scorer = self._scorer()
        if scorer is None:
            return self._plain.scoring_plan(work())
        chunks = scorer.plan((self._encoder.style, tuple(requests)), work)
        without = without_spans(chunks, len(requests))
        return [*([without] if without else []), *(list(chunk.requests) for chunk in chunks)]

    def _score(
        self, work: Callable[[], Work], requests: Sequence[Request]
    ) -> Iterator[Finished[Loglikelihood]]:
        scorer = self._scorer()
        if scorer is None:
            yield from self._plain.score(work())
            return
        chunks = scorer.plan((self._encoder.style, tuple(requests)), work)

        def score(chunk: Chunk) -> Scored:
            # Another variant may have been used in the meantime: put the adapters back.
            _ = self._ready
            return scorer.score(chunk, variant=self._worn)

        yield from scored_results(
            chunks, len(requests), score=score, size_on_disk_bytes=self._size_on_disk_bytes
        )

    @property
    def _why_plain(self) -> str | None:
        """Why the engine can't be asked at all; None if its trial decides."""
        base = self._ready
        if base.processor is not None:
            return "its model reads pictures, too"
        return base.adapters.why_plain

    def _scorer(self) -> TreeScorer | None:
        """Return the engine, or None where requests have to be scored one by one."""
        why_plain = self._why_plain
        if why_plain is None or self._options.engine == "plain":
            return self._trees()
        if not self._has_told:
            _LOG.warning("%s scores requests one by one: %s", self._spec.name, why_plain)
            self._has_told = True
        return None
