"""A base in memory that serves all its variants."""

from __future__ import annotations

import gc
import weakref

import torch

from evalcore.records import ModelSpec
from runners.engine.memory import give_back_freed_memory, keep_freed_memory
from runners.engine.scoring import TreeScorer
from runners.engine.support import tree_scorer
from runners.hf.loading import load_base
from runners.hf.runner import HfRunner
from runners.options import RunnerOptions

__all__ = ["HfResident"]


class HfResident:
    """Loads a base once and hands out runners of its variants.

    Parameters
    ----------
    spec
        Resolved; its adapters don't matter.
    options
        Sizes of batches.
    """

    def __init__(self, spec: ModelSpec, options: RunnerOptions) -> None:
        self._base = load_base(spec)
        if self._base.model.get_input_embeddings().weight.device.type == "cpu":
            # Not before: what loading frees is of no use to forward passes.
            keep_freed_memory()
        self._options = options
        self._scorer: tuple[TreeScorer | None] | None = None

    def runner(self, spec: ModelSpec) -> HfRunner:
        """Return a runner of one variant, its adapters read and active."""
        return HfRunner(spec, base=self._base, options=self._options, trees=self._trees)

    def close(self) -> None:
        """Give back the memory."""
        model = weakref.ref(self._base.model)
        del self._base, self._scorer
        if model() is not None:
            gc.collect()
        give_back_freed_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _trees(self) -> TreeScorer | None:
        """Return the engine for this base; it is tried once, when scores are first asked for."""
        if self._scorer is None:
            self._scorer = (tree_scorer(self._base, self._options),)
        return self._scorer[0]
