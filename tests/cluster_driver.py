"""Lets a troublesome model answer prompts on a cluster: ADDRESS WORKSPACE N_PROMPTS."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from evalcore.executors import LocalExecutor
from evalcore.prompting import answer_prompts
from evalcore.records import Example, Message, ModelSpec, SamplingParams
from evalcore.store import open_store
from runners.cluster.choice import ClusterChoice
from runners.cluster.executor import RayExecutor, ray_executor
from runners.fake import FakeResident, FakeRunner

REQUEST_S = 0.004


class TroubledRunner(FakeRunner):
    """Takes its time, stumbles over poison, and dies of what is deadly."""

    def generate(self, requests):
        time.sleep(REQUEST_S * len(requests))
        prompts = [request.prompt[-1].content for request in requests]
        if any("poison" in prompt for prompt in prompts):
            raise RuntimeError("this is poison")
        if any("deadly" in prompt for prompt in prompts):
            os.kill(os.getpid(), 9)
        yield from super().generate(requests)


class TroubledResident(FakeResident):
    def runner(self, spec: ModelSpec) -> TroubledRunner:
        return TroubledRunner(spec)


def load(_spec: ModelSpec) -> TroubledResident:
    return TroubledResident()


def prompts(n: int, *, extra: str = "") -> list[Example]:
    texts = [f"prompt {number:04}" for number in range(n)]
    texts += [extra] if extra else []
    return [Example(id=text, messages=(Message(role="user", content=text),)) for text in texts]


def answer(executor, workspace: Path, examples, *, models: int = 2) -> int:
    specs = [ModelSpec(name=f"m{n}", backend="fake", weights=f"m{n}") for n in range(models)]
    with open_store(workspace, None) as store:
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


@contextmanager
def there(address: str, workspace: Path, **choice: object) -> Iterator[RayExecutor]:
    chosen = ClusterChoice(address=address, memory_bytes=2**28, **choice)
    with ray_executor(chosen, local=here(), logs=workspace / "logs", load=load) as executor:
        yield executor


if __name__ == "__main__":
    address, workspace, n = sys.argv[1:]
    with there(address, Path(workspace)) as executor:
        print(answer(executor, Path(workspace), prompts(int(n))))
