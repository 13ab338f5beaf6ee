"""Letting models answer requests: what is stored isn't asked again, what is ready is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

from evalcore.errors import IncompleteError
from evalcore.executors import Executor, Order
from evalcore.records import ModelSpec
from evalcore.stages import Begin, Stage, Work
from evalcore.store import Store

__all__ = ["respond"]


def respond(
    specs: Sequence[ModelSpec],
    works: Sequence[Work],
    store: Store,
    *,
    executor: Executor,
    begin: Begin,
    done: Callable[[ModelSpec, Work], None],
) -> None:
    """Let each model answer what it hasn't answered yet.

    Only models with something left to do are run. ``done`` is called for each model and work as
    soon as all its answers are stored. An answer that failed is not stored: the next run asks
    again.

    Raises
    ------
    IncompleteError
        After everything else has been done, with the number of failures by reason.
    """
    orders = []
    for spec in specs:
        store.add_model(spec)
        for work in works:
            if _is_done(spec, work, store):
                done(spec, work)
            else:
                orders.append(Order(spec, work))
    failures: list[str] = []
    with closing(executor.carry_out(orders, store, begin=begin)) as outcomes:
        for outcome in outcomes:
            spec = outcome.order.spec
            failures += [f"{spec.name}: {reason}" for reason in outcome.failures]
            if not outcome.failures:
                done(spec, outcome.order.work)
    if failures:
        raise IncompleteError(_told(failures))


def _told(failures: Sequence[str]) -> str:
    reasons = [f"{count} × {reason}" for reason, count in Counter(failures).most_common()]
    return (
        f"{len(failures)} answers could not be had ({'; '.join(reasons)}); "
        "the same command asks for these again"
    )


def _is_done(spec: ModelSpec, work: Work, store: Store) -> bool:
    stage: Stage | None = Stage(spec, work, store)
    while stage is not None:
        if stage.jobs:
            return False
        stage = stage.following()
    return True
