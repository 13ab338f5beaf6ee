"""Running models: each base is loaded once, whatever the number of variants on it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from evalcore.protocols import Runner
from evalcore.records import ModelSpec
from runners.options import RunnerOptions
from runners.resolving import resolve

__all__ = ["open_runners"]


class Resident(Protocol):
    """A base in memory that serves any variant of itself."""

    def runner(self, spec: ModelSpec) -> Runner:
        """Return a runner of one of its variants."""

    def close(self) -> None:
        """Give back the memory."""


def open_runners(
    specs: Sequence[ModelSpec], *, options: RunnerOptions | None = None
) -> Generator[Runner, None, None]:
    """Yield a running model for each spec, loading each base exactly once.

    Specs are grouped by base, groups and specs within a group in the order given; ``runner.spec``
    says which one is running. Adapters are switched on the resident base, and a base is freed
    before the next one is loaded: a runner is of use until the next one is asked for.

    Parameters
    ----------
    specs
        Resolved or not; all are resolved, hence checked, before the first is loaded.
    options
        Sizes of batches.

    Yields
    ------
    Runner
        One per spec; none for no specs.

    Raises
    ------
    ModelError
        If a model can't be found, read or run here.
    """
    groups: dict[ModelSpec, list[ModelSpec]] = {}
    for spec in map(resolve, specs):
        groups.setdefault(_resident_key(spec), []).append(spec)
    return _runners(groups, options or RunnerOptions())


def _runners(
    groups: dict[ModelSpec, list[ModelSpec]], options: RunnerOptions
) -> Generator[Runner, None, None]:
    for key, variants in groups.items():
        with closing(_load(key, options)) as resident:
            for spec in variants:
                with closing(resident.runner(spec)) as runner:
                    yield runner


def _resident_key(spec: ModelSpec) -> ModelSpec:
    """Return what has to be in memory; a chat template is applied to text, not to the base."""
    return replace(spec.base, chat_template=None)


def _load(spec: ModelSpec, options: RunnerOptions) -> Resident:
    if spec.backend == "fake":
        from runners.fake import FakeResident

        return FakeResident()
    from runners.hf.resident import HfResident

    return HfResident(spec, options)
