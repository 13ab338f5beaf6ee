"""What commands that run models share: options, and how these become specs and open runners.

Importing this module is cheap, so that ``parity --help`` is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalcore.errors import InputError

if TYPE_CHECKING:
    from evalcore.executors import Executor
    from evalcore.protocols import Runner
    from evalcore.quantlab.study import OpenTogether
    from evalcore.records import ModelSpec
    from runners.options import RunnerOptions

__all__ = [
    "BatchSizeOption",
    "EngineOption",
    "ExecutorOption",
    "LimitOption",
    "MarginOption",
    "MaxUsdOption",
    "MemoryOption",
    "ModelOption",
    "PageOption",
    "checked_margin",
    "executor_opener",
    "fitting_length",
    "resolved_models",
    "together_opener",
]

ModelOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model string, such as zoo:tiny or hf:DIR+lora:DIR*0.5; repeatable.",
    ),
]
BatchSizeOption = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Most sequences run together.")
]
MemoryOption = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", help="Besides the weights, such as 4GiB; else half of the free."
    ),
]
MaxUsdOption = Annotated[
    float | None,
    typer.Option(
        "--max-usd",
        min=0.0,
        metavar="USD",
        help="Make no paid call that could exceed this, counting those in flight.",
    ),
]
ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="WHERE",
        help="local, or ray[://HOST:PORT][?workers=8&gpus=1&cpus=2&memory=8GiB] for a cluster.",
    ),
]
MarginOption = Annotated[
    float, typer.Option("--margin", help="Half-width of parity, in the metric's unit; above 0.")
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", "-L", min=1, help="Only the first N examples.")
]
PageOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="HTML page to write.")
]
EngineOption = Annotated[
    Literal["auto", "plain"],
    typer.Option("--engine", help="auto shares what requests have in common; plain doesn't."),
]


def resolved_models(models: Sequence[str]) -> list[ModelSpec]:
    """Check all models before any work begins; one that is named twice counts once.

    Raises
    ------
    ModelError
        If a model string can't be read, or what it names can't be found.
    InputError
        If two variants have one name, or two names mean one variant.
    """
    from runners import parse_model, resolve

    names: dict[str, ModelSpec] = {}
    variants: dict[str, str] = {}
    for spec in (resolve(parse_model(text)) for text in models):
        if names.setdefault(spec.name, spec).fingerprint != spec.fingerprint:
            raise InputError(f"two models are named {spec.name!r}; name one with NAME=…")
        if variants.setdefault(spec.fingerprint, spec.name) != spec.name:
            raise InputError(
                f"models {variants[spec.fingerprint]!r} and {spec.name!r} are the same variant"
            )
    return list(names.values())


def checked_margin(margin: float) -> float:
    """Return a margin of parity that can be tested; InputError for another."""
    if not 0.0 < margin < math.inf:
        raise InputError(f"--margin must be above 0; got {margin}")
    return margin


def fitting_length(specs: Sequence[ModelSpec]) -> int:
    """Return the most tokens of an answer where nobody says: 256, or half of the smallest window.

    All models have the same, since their answers are there to be compared.
    """
    from evalcore.records import SamplingParams
    from runners.resolving import window

    windows = [found for spec in specs if (found := window(spec)) is not None]
    return min([SamplingParams().max_new_tokens, *(max(1, found // 2) for found in windows)])


def executor_opener(
    where: str = "local",
    batch_size: int | None = None,
    *,
    workspace: Path,
    memory: str | None = None,
    engine: Literal["auto", "plain"] = "auto",
    max_usd: float | None = None,
) -> Callable[[], AbstractContextManager[Executor]]:
    """Return what opens the executor that ``--executor`` names, with these options.

    Whatever it runs shares one budget of ``max_usd`` US dollars.

    Raises
    ------
    InputError
        For an executor or a size that can't be read, and where Ray is not installed.
    """
    from evalcore.executors import LocalExecutor
    from runners import open_runners
    from runners.cluster.choice import parse_executor
    from runners.endpoint.budget import Budget

    choice = parse_executor(where)
    budget = None if max_usd is None else Budget(max_usd)
    options = replace(_options(batch_size, memory=memory, engine=engine), budget=budget)
    local = LocalExecutor(lambda specs: open_runners(specs, options=options))
    if choice is None:
        return lambda: nullcontext(local)
    from runners.cluster.executor import ray_executor

    return partial(ray_executor, choice, local=local, logs=workspace / "logs", options=options)


def together_opener(
    batch_size: int | None = None,
    *,
    memory: str | None = None,
    engine: Literal["auto", "plain"] = "auto",
) -> OpenTogether:
    """Return what opens models side by side, in one list by spec; on this machine."""
    from runners import open_together

    options = _options(batch_size, memory=memory, engine=engine)

    @contextmanager
    def opened(specs: Sequence[ModelSpec]) -> Iterator[list[Runner]]:
        with open_together(specs, options=options) as groups:
            runners = {runner.spec.fingerprint: runner for group in groups for runner in group}
            yield [runners[spec.fingerprint] for spec in specs]

    return opened


def _options(
    batch_size: int | None, *, memory: str | None, engine: Literal["auto", "plain"]
) -> RunnerOptions:
    from runners import RunnerOptions, parse_bytes

    memory_bytes = None if memory is None else parse_bytes(memory)
    options = RunnerOptions(engine=engine, memory_bytes=memory_bytes)
    return options if batch_size is None else replace(options, batch_size=batch_size)
