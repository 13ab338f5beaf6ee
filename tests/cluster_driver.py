"""Lets a troublesome model answer prompts on a cluster: ADDRESS WORKSPACE N_PROMPTS [STORE_URL].

With a store of its own URL it takes one worker and small units, since it is not alone.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from evalcore.executors import LocalExecutor
from evalcore.prompting import answer_prompts
from evalcore.records import Example, Message, ModelSpec, SamplingParams
from evalcore.store import open_store
from runners.cluster.choice import ClusterChoice
from runners.cluster.executor import RayExecutor, ray_executor
from runners.cluster.units import UnitSizes
from runners.fake import FakeResident, FakeRunner

REQUEST_S = 0.004


class TroubledRunner(FakeRunner):
    """Takes its time, stumbles over poison, dies of what is deadly, and counts what it answers."""

    def __init__(self, spec: ModelSpec, counts: Path | None = None) -> None:
        super().__init__(spec)
        self._counts = counts

    def generate(self, requests):
        time.sleep(REQUEST_S * len(requests))
        prompts = [request.prompt[-1].content for request in requests]
        if any("poison" in prompt for prompt in prompts):
            raise RuntimeError("this is poison")
        if any("deadly" in prompt for prompt in prompts):
            os.kill(os.getpid(), 9)
        yield from super().generate(requests)
        if self._counts is not None:
            with (self._counts / f"{os.getpid()}").open("a") as file:
                file.write(f"{len(requests)}\n")


class TroubledResident(FakeResident):
    def __init__(self, counts: Path) -> None:
        self._counts = counts

    def runner(self, spec: ModelSpec) -> TroubledRunner:
        return TroubledRunner(spec, self._counts)


def n_computed(workspace: Path) -> int:
    """Count the requests that the workers of a workspace's drivers have answered."""
    files = (workspace / "counts").iterdir()
    return sum(int(line) for path in files for line in path.read_text().splitlines())


def prompts(n: int, *, extra: Sequence[str] = ()) -> list[Example]:
    texts = [*(f"prompt {number:04}" for number in range(n)), *extra]
    return [Example(id=text, messages=(Message(role="user", content=text),)) for text in texts]


def answer(executor, workspace: Path, examples, *, models: int = 2, url: str | None = None) -> int:
    specs = [ModelSpec(name=f"m{n}", backend="fake", weights=f"m{n}") for n in range(models)]
    with open_store(workspace, url) as store:
        return len(
            answer_prompts(
                specs,
                examples,
                store,
                params=SamplingParams(),
                chat=True,
                executor=executor,
                begin=lambda _label, _total: lambda _count, _cost: None,
            )
        )


def here() -> LocalExecutor:
    def open_runners(specs):
        for spec in specs:
            with closing(TroubledRunner(spec)) as runner:
                yield runner

    return LocalExecutor(open_runners)


def _load(_spec: ModelSpec, counts: Path) -> TroubledResident:
    return TroubledResident(counts)


@contextmanager
def there(
    address: str, workspace: Path, *, sizes: UnitSizes | None = None, **choice: object
) -> Iterator[RayExecutor]:
    chosen = ClusterChoice(address=address, memory_bytes=2**28, **choice)
    counts = workspace / "counts"
    counts.mkdir(parents=True, exist_ok=True)
    load = partial(_load, counts=counts)
    logs = workspace / "logs"
    with ray_executor(chosen, local=here(), logs=logs, load=load, sizes=sizes) as executor:
        yield executor


if __name__ == "__main__":
    address, workspace, n, *urls = sys.argv[1:]
    among_others = {"workers": 1, "sizes": UnitSizes(part_requests=16, parts=1)} if urls else {}
    with there(address, Path(workspace), **among_others) as executor:
        print(answer(executor, Path(workspace), prompts(int(n)), url=next(iter(urls), None)))
