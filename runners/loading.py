"""Running models: each base is loaded once, whatever the number of variants on it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from evalcore.protocols import Runner
from evalcore.records import ModelSpec
from runners.backends import Resident, backend
from runners.options import RunnerOptions
from runners.resolving import resolve

__all__ = ["open_runners", "open_together"]


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
    return _runners(_by_base(specs), options or RunnerOptions())


@contextmanager
def open_together(
    specs: Sequence[ModelSpec], *, options: RunnerOptions | None = None
) -> Iterator[tuple[tuple[Runner, ...], ...]]:
    """Run all specs at the same time, as a service does; their bases must fit memory together.

    Parameters
    ----------
    specs
        Resolved or not; all are resolved, hence checked, before the first is loaded.
    options
        Sizes of batches.

    Yields
    ------
    tuple of tuple of Runner
        The runners of each base. Those of one share its memory: only one of them may be computing
        at a time, so they belong into one thread.

    Raises
    ------
    ModelError
        If a model can't be found, read or run here.
    """
    with ExitStack() as opened:
        groups = []
        for key, variants in _by_base(specs).items():
            resident = opened.enter_context(closing(_opened(key, options or RunnerOptions())))
            runners = (opened.enter_context(closing(resident.runner(spec))) for spec in variants)
            groups.append(tuple(runners))
        yield tuple(groups)


def _by_base(specs: Sequence[ModelSpec]) -> dict[ModelSpec, list[ModelSpec]]:
    groups: dict[ModelSpec, list[ModelSpec]] = {}
    for spec in map(resolve, specs):
        kind = backend(spec.backend)
        kind.prepare(spec)
        groups.setdefault(kind.shared(spec), []).append(spec)
    return groups


def _runners(
    groups: dict[ModelSpec, list[ModelSpec]], options: RunnerOptions
) -> Generator[Runner, None, None]:
    for key, variants in groups.items():
        with closing(_opened(key, options)) as resident:
            for spec in variants:
                with closing(resident.runner(spec)) as runner:
                    yield runner


def _opened(shared: ModelSpec, options: RunnerOptions) -> Resident:
    return backend(shared.backend).open(shared, options)
