"""The command ``parity stack``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import (
    JsonOption,
    StoreOption,
    WorkspaceOption,
    print_json,
    print_table,
)
from evalcore.errors import IncompleteError, InputError
from runners.commandline import (
    BatchSizeOption,
    EngineOption,
    ExecutorOption,
    LimitOption,
    MarginOption,
    MemoryOption,
    PageOption,
    checked_margin,
    executor_opener,
    resolved_models,
)

if TYPE_CHECKING:
    from evalcore.stacking.records import StackReport, StackStudy, TaskEffects

__all__ = ["stack"]

_EXACT_UP_TO = 6


def stack(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="The base, such as zoo:tiny or hf:DIR.")
    ],
    adapter: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADAPTER]...", help="[NAME=]+lora:DIR[*WEIGHT], one by one."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", metavar="TASK", help="Task name or YAML file; repeatable."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Multiples of each weight to try, such as 0.5,1,1.5."),
    ] = None,
    full: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A full fine-tune to test for parity with.")
    ] = None,
    margin: MarginOption = 0.05,
    orders: Annotated[
        int, typer.Option(help="Orders sampled for more than six adapters; even, at least 4.")
    ] = 16,
    limit: LimitOption = None,
    output: PageOption = None,
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "auto",
    executor: ExecutorOption = "local",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what each adapter of a stack contributes, from its subsets on one resident base."""
    from dataclasses import replace

    from evalcore.progress import progress_bars
    from evalcore.stacking.study import run_study
    from evalcore.stacking.words import summary
    from evalcore.store import open_store
    from evalcore.tasks import load_tasks
    from reports.stacks import stack_page
    from reports.writing import write_text
    from runners.hf.updates import stack_geometry

    if not task:
        raise InputError("--task must be given at least once, such as -t tiny-arithmetic")
    loaded = load_tasks(task, limit=limit)
    study = replace(
        _study(model, adapter or [], orders=orders),
        factors=_factors(weights),
        full=resolved_models([full])[0] if full else None,
        margin=checked_margin(margin),
    )
    geometry = stack_geometry(study.stack.adapters, stack="whole stack")
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine
    )
    with open_store(workspace, store) as opened, progress_bars() as begin, opener() as running:
        report = run_study(study, loaded, opened, executor=running, begin=begin)
    report = replace(report, geometry=geometry)
    if output is not None:
        write_text(output, stack_page(report))
    if as_json:
        print_json({"summary": summary(report), "stack": report})
    else:
        print(summary(report))
        _print_tables(report)
        if output is not None:
            print(f"Report: {output}")
    _complain_if_unscored(report)


def _study(model: str, adapters: list[str], *, orders: int) -> StackStudy:
    from evalcore.stacking.records import StackStudy
    from evalcore.stats.coalitions import every_coalition, sampled_coalitions
    from runners import resolve
    from runners.stacks import parse_stack

    if orders < 4 or orders % 2:
        raise InputError(f"--orders must be even and at least 4; got {orders}")
    parsed, name = parse_stack(model, adapters)
    n_adapters = len(parsed.adapters)
    design = (
        every_coalition(n_adapters)
        if n_adapters <= _EXACT_UP_TO
        else sampled_coalitions(n_adapters, n_permutations=orders)
    )
    return StackStudy(stack=resolve(parsed), design=design, name=name)


def _factors(text: str | None) -> tuple[float, ...]:
    try:
        factors = [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        factors = [math.nan]
    if not all(math.isfinite(factor) for factor in factors):
        raise InputError(f"--weights must be numbers with commas between them; got {text!r}")
    return tuple(sorted(set(factors)))


def _print_tables(report: StackReport) -> None:
    from reports.stacks import full_rows, geometry_rows, pair_rows, task_rows, weight_rows

    for effects in report.effects:
        _print_titled(_title(effects), task_rows(report, effects))
    _print_titled("Pairs: more together than each alone", pair_rows(report))
    _print_titled("Other weights, against the whole stack", weight_rows(report))
    _print_titled(f"Against the full fine-tune {report.full}", full_rows(report))
    _print_titled("Changes of the base's weights", geometry_rows(report))


def _title(effects: TaskEffects) -> str:
    unit = "points" if effects.is_share else "the metric's unit"
    return f"{effects.task}, {effects.metric}, in {unit}"


def _print_titled(title: str, rows: list[dict[str, str]]) -> None:
    if rows:
        print(f"\n{title}")
        print_table(rows)


def _complain_if_unscored(report: StackReport) -> None:
    unscored = [
        f"{effects.task}: {effects.gain.estimate.n_unscored}"
        for effects in report.tasks
        if effects.gain.estimate.n_unscored
    ]
    if unscored:
        raise IncompleteError(
            f"some examples could not be scored by every variant: {'; '.join(unscored)}"
        )
