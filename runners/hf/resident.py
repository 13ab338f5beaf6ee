"""A base in memory that serves all its variants."""

from __future__ import annotations

import gc
import weakref

import torch

from evalcore.records import ModelSpec
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
        self._options = options

    def runner(self, spec: ModelSpec) -> HfRunner:
        """Return a runner of one variant, its adapters read and active."""
        return HfRunner(spec, base=self._base, options=self._options)

    def close(self) -> None:
        """Give back the memory."""
        model = weakref.ref(self._base.model)
        del self._base
        if model() is not None:
            gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
