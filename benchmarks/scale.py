"""What a cluster adds, on one machine: throughput, the driver's memory and its time for a unit.

The first three parts use a model that only sleeps, so that two cores suffice. Workers are slots of
a few actor processes there: 200 processes would measure the machine's scheduler, and the driver
sees no difference, as each slot takes and returns units of its own.

- throughput: 200 workers, 20,000 units; the share of what 200 workers could do that never wait;
- memory: the driver's resident memory over a million results, from the ten-thousandth on;
- constant: the driver's time for a unit, for 1,000, 10,000 and 100,000 of them;
- engine: the tiny family on one worker and on two, a core each, in turns.

    python benchmarks/scale.py                      all of it, about eight minutes
    python benchmarks/scale.py throughput --units 2000 --unit-s 0.2
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ray

from evalcore.answering import respond
from evalcore.evaluate import evaluate
from evalcore.executors import Executor, LocalExecutor
from evalcore.protocols import Finished, Loglikelihood, LoglikelihoodRequest
from evalcore.records import Efficiency, Example, Message, ModelSpec
from evalcore.stages import Advance, ReadyJob, Work
from evalcore.store import Store, open_store
from evalcore.tasks import load_task
from runners import open_runners, parse_model, resolve
from runners.cluster.choice import ClusterChoice
from runners.cluster.executor import ray_executor
from runners.cluster.units import UnitSizes
from runners.fake import FakeResident, FakeRunner

PROCESSES = 4
EXAMPLE = Example(id="e", messages=(Message(role="user", content="e"),))
SPEC = ModelSpec(name="sleeper", backend="fake", weights="sleeper")
TASKS = ("tiny-choice", "tiny-arithmetic")


class Sleeper(FakeRunner):
    """Waits instead of computing; each context says for how long, in seconds."""

    def loglikelihood(
        self, requests: Sequence[LoglikelihoodRequest]
    ) -> Iterator[Finished[Loglikelihood]]:
        """Wait once for all requests."""
        wait_s = max(float(str(request.context)) for request in requests)
        if wait_s:
            time.sleep(wait_s)
        found = Loglikelihood(logprob=-1.0, is_greedy=True, n_tokens=1)
        yield Finished([(place, found) for place in range(len(requests))], Efficiency())


class SleeperResident(FakeResident):
    """Serves it."""

    def runner(self, spec: ModelSpec) -> Sleeper:
        """Return the sleeper."""
        return Sleeper(spec)


def load(_spec: ModelSpec) -> SleeperResident:
    return SleeperResident()


def sleeping(name: str, n: int, wait_s: float) -> Work:
    asked = (
        LoglikelihoodRequest(context=f"{wait_s:g}", continuation=f"{name} {number}")
        for number in range(n)
    )
    return Work(name, name, [ReadyJob(EXAMPLE, request) for request in asked])


def local() -> LocalExecutor:
    return LocalExecutor(open_runners)


@contextmanager
def opened(n_workers: int, sizes: UnitSizes) -> Iterator[tuple[Executor, Store]]:
    """Workers that sleep, all of them started, and an empty workspace."""
    slots = n_workers // PROCESSES
    choice = ClusterChoice(workers=PROCESSES, cpus=0.25, memory_bytes=2**26, slots=slots)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder), None) as store,
        ray_executor(choice, local=local(), logs=Path(folder), load=load, sizes=sizes) as executor,
    ):
        do(executor, store, sleeping("warm-up", 4 * n_workers, 0.05))
        yield executor, store


def do(executor: Executor, store: Store, work: Work, advance: Advance | None = None) -> float:
    """Answer a work; return how long it took, in seconds."""
    began = time.perf_counter()
    respond(
        [SPEC],
        [work],
        store,
        executor=executor,
        begin=lambda _label, _total: advance or (lambda _count, _cost: None),
        done=lambda _spec, _work: None,
    )
    return time.perf_counter() - began


def throughput(given: argparse.Namespace) -> dict[str, object]:
    with opened(given.workers, UnitSizes(part_requests=1, parts=1)) as (executor, store):
        took_s = do(executor, store, sleeping("units", given.units, given.unit_s))
    ideal_s = given.units * given.unit_s / given.workers
    return {
        "workers": given.workers,
        "units": given.units,
        "unit_s": given.unit_s,
        "took_s": took_s,
        "share_of_ideal": ideal_s / took_s,
    }


def memory(given: argparse.Namespace) -> dict[str, object]:
    seen: list[float] = []
    n_done = 0

    def advance(count: int, _cost_usd: float) -> None:
        nonlocal n_done
        n_done += count
        if n_done >= min(10_000, given.results // 10):
            seen.append(resident_mb())

    with opened(PROCESSES, UnitSizes()) as (executor, store):
        work = sleeping("results", given.results, 0.0)
        took_s = do(executor, store, work, advance)
    return {
        "results": given.results,
        "took_s": took_s,
        "at_first_mb": seen[0],
        "most_mb": max(seen),
        "more_mb": max(seen) - seen[0],
    }


def constant(given: argparse.Namespace) -> dict[str, object]:
    sizes = [size for size in (1_000, 10_000, 100_000) if size <= given.most_units]
    ms = {}
    with opened(PROCESSES * 8, UnitSizes(part_requests=1, parts=1)) as (executor, store):
        for size in sizes:
            ms[size] = 1e3 * do(executor, store, sleeping(f"{size}", size, 0.0)) / size
    return {"ms_a_unit": ms, "last_by_first": ms[sizes[-1]] / ms[sizes[0]]}


def engine(given: argparse.Namespace) -> dict[str, object]:
    """Evaluate on one worker and on two, in turns; what is started and loaded isn't counted."""
    specs = [resolve(parse_model(text)) for text in ("zoo:tiny", "zoo:tiny+lora:zoo:tiny-math")]
    took: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(given.rounds):
        for n_workers in took:
            took[n_workers].append(evaluated_s(specs, n_workers, given.examples))
    one, two = (statistics.median(took[n]) for n in (1, 2))
    return {"one_worker_s": took[1], "two_workers_s": took[2], "speed_up": one / two}


def evaluated_s(specs: Sequence[ModelSpec], n_workers: int, n_examples: int) -> float:
    choice = ClusterChoice(workers=n_workers, cpus=1)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder), None) as store,
        ray_executor(choice, local=local(), logs=Path(folder)) as executor,
    ):
        silent: Callable[[str, int], Advance] = lambda _label, _total: lambda _count, _cost: None  # noqa: E731
        warm = [load_task("tiny-text", limit=60)]
        evaluate(specs, warm, store, executor=executor, begin=silent)
        tasks = [load_task(name, limit=n_examples) for name in TASKS]
        began = time.perf_counter()
        evaluate(specs, tasks, store, executor=executor, begin=silent)
        return time.perf_counter() - began


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


PARTS = {"throughput": throughput, "memory": memory, "constant": constant, "engine": engine}


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; or all")
    options.add_argument("--workers", type=int, default=200)
    options.add_argument("--units", type=int, default=20_000)
    options.add_argument("--unit-s", type=float, default=1.0)
    options.add_argument("--results", type=int, default=1_000_000)
    options.add_argument("--most-units", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--examples", type=int, default=600)
    given = options.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        sys.exit(f"scale: a part must be one of {', '.join(PARTS)}; got {', '.join(unknown)}")
    for name in given.parts or PARTS:
        print(json.dumps({name: PARTS[name](given), "ray": ray.__version__}), flush=True)


if __name__ == "__main__":
    main()
