"""Many calls at a time, whose results a synchronous caller takes as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from runners.endpoint.background import BackgroundLoop
from runners.endpoint.caller import Series

__all__ = ["in_parallel"]

_APART_S: Final = 0.003
"""Calls that begin together come back together and wait for each other's handling, for as long as
the job lasts; so the first ones begin one after the other."""
_GRACE_S: Final = 5.0
"""How long calls in flight, which are paid for, may still come back after Ctrl-C."""

RequestT = TypeVar("RequestT")
ResultT = TypeVar("ResultT")
Answer = Callable[[RequestT, Series], Awaitable[ResultT]]


def in_parallel(
    loop: BackgroundLoop,
    requests: Sequence[RequestT],
    series: Series,
    *,
    answer: Answer[RequestT, ResultT],
    concurrency: int,
) -> Iterator[list[tuple[int, ResultT]]]:
    """Answer requests, so many at a time, and yield what is ready, with each one's position.

    On Ctrl-C no further call is begun, and those in flight get a few seconds to come back before
    KeyboardInterrupt is raised; a second Ctrl-C raises it at once.

    Raises
    ------
    Exception
        What ``answer`` raises ends all.
    """
    queue: SimpleQueue[tuple[int, ResultT] | None] = SimpleQueue()

    async def work_through() -> None:
        pending = iter(enumerate(requests))

        async def work() -> None:
            for index, request in pending:
                if series.abandoned:
                    return
                queue.put((index, await answer(request, series)))

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(requests))):
                workers.create_task(work())
                await asyncio.sleep(_APART_S)

    work = loop.begin(work_through())
    work.add_done_callback(lambda _work: queue.put(None))
    try:
        yield from _batches(queue, series)
        work.result()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    finally:
        work.cancel()


def _batches(
    queue: SimpleQueue[tuple[int, ResultT] | None], series: Series
) -> Iterator[list[tuple[int, ResultT]]]:
    until: float | None = None  # Ctrl-C was pressed, and calls in flight may come back
    while True:
        try:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            batch = [queue.get(timeout=left_s)]
        except KeyboardInterrupt:
            if until is not None:
                raise
            series.stopped, series.abandoned = "interrupted", True
            until = time.monotonic() + _GRACE_S
            continue
        except Empty:
            raise KeyboardInterrupt from None
        while not queue.empty():
            batch.append(queue.get())
        results = [item for item in batch if item is not None]
        if results:
            yield results
        if len(results) < len(batch):
            break
    if until is not None:
        raise KeyboardInterrupt
