"""A base in memory that serves all its variants."""

from __future__ import annotations

from evalcore.records import ModelSpec
from runners.hf.loading import free_memory, load_base
from runners.hf.runner import HfRunner
from runners.hf.stack import LoraStack
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
        self._stack = LoraStack(self._base.model)
        self._options = options

    def runner(self, spec: ModelSpec) -> HfRunner:
        """Return a runner of one variant, its adapters read and active."""
        self._stack.activate(spec.adapters)
        return HfRunner(spec, base=self._base, stack=self._stack, options=self._options)

    def close(self) -> None:
        """Give back the memory."""
        del self._base, self._stack
        free_memory()
