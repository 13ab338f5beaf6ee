"""Commands that run models: eval, generate, run, demo; and the list of tasks."""

from __future__ import annotations

from collections.abc import Sequence
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
    MaxUsdOption,
    MemoryOption,
    ModelOption,
    executor_opener,
    fitting_length,
    resolved_models,
)

if TYPE_CHECKING:
    from evalcore.records import EvalRun, Example, Generation, ModelSpec

__all__ = ["demo", "evaluate", "generate", "run", "tasks"]

_INSTRUCT, _MATH, _STYLE = (f"+lora:zoo:tiny-{name}" for name in ("instruct", "math", "style"))
DEMO_MODELS = (
    "base=zoo:tiny",
    f"instruct=zoo:tiny{_INSTRUCT}",
    f"instruct+math=zoo:tiny{_INSTRUCT}{_MATH}",
    f"instruct+style=zoo:tiny{_INSTRUCT}{_STYLE}",
    f"instruct+math+style=zoo:tiny{_INSTRUCT}{_MATH}{_STYLE}",
    f"instruct+math (bf16)=zoo:tiny?dtype=bf16{_INSTRUCT}{_MATH}",
    f"instruct+math (nf4)=zoo:tiny?dtype=fp32&quant=nf4{_INSTRUCT}{_MATH}",
)


def evaluate(
    model: ModelOption,
    task: Annotated[
        list[str],
        typer.Option("--task", "-t", metavar="TASK", help="Task name or YAML file; repeatable."),
    ],
    limit: LimitOption = None,
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "auto",
    executor: ExecutorOption = "local",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate models on automated tasks; started again, it does only what is missing."""
    from evalcore.evaluate import evaluate as evaluate_tasks
    from evalcore.progress import progress_bars
    from evalcore.store import open_store
    from evalcore.tasks import load_tasks

    loaded = load_tasks(task, limit=limit)
    specs = resolved_models(model)
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine
    )
    with open_store(workspace, store) as opened, progress_bars() as begin, opener() as running:
        runs = evaluate_tasks(
            specs,
            loaded,
            opened,
            executor=running,
            begin=begin,
        )
    if as_json:
        print_json({"runs": [_run_form(run) for run in runs]})
    else:
        _print_runs(runs)
    _complain_if_unscored(runs)


def generate(
    model: ModelOption,
    prompts: Annotated[
        list[Path],
        typer.Option("--prompts", "-p", metavar="FILE", help="JSONL or text file; repeatable."),
    ],
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of an answer; 256 if not given, or half of the smallest model's "
            "window if that is less.",
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.0, max=1.0, help="In (0, 1].")] = 1.0,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Ends an answer where it occurs; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes sampled answers.")] = 0,
    chat: Annotated[
        bool, typer.Option("--chat/--no-chat", help="Through the model's chat template.")
    ] = True,
    limit: LimitOption = None,
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "auto",
    executor: ExecutorOption = "local",
    max_usd: MaxUsdOption = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a prompt set with each model, for judges and voters to compare."""
    from evalcore.progress import progress_bars
    from evalcore.prompting import answer_prompts
    from evalcore.records import SamplingParams
    from evalcore.store import open_store

    if top_p <= 0.0:
        raise InputError(f"--top-p must be in (0, 1]; got {top_p}")
    examples = _prompt_examples(prompts, limit)
    specs = resolved_models(model)
    params = SamplingParams(
        max_new_tokens=max_new_tokens or fitting_length(specs),
        temperature=temperature,
        top_p=top_p,
        stop=tuple(stop or ()),
        seed=seed,
    )
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine, max_usd=max_usd
    )
    with open_store(workspace, store) as opened, progress_bars() as begin, opener() as running:
        answers = answer_prompts(
            specs,
            examples,
            opened,
            params=params,
            chat=chat,
            executor=running,
            begin=begin,
        )
    if as_json:
        print_json({"generations": answers})
    else:
        _print_answers(answers, specs)


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="YAML run file: models, tasks, prompts.")
    ],
    batch_size: BatchSizeOption = None,
    memory: MemoryOption = None,
    engine: EngineOption = "auto",
    executor: ExecutorOption = "local",
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Evaluate and generate as a YAML file says."""
    from evalcore.evaluate import evaluate as evaluate_tasks
    from evalcore.progress import progress_bars
    from evalcore.prompting import answer_prompts
    from evalcore.runfile import read_run_file
    from evalcore.store import open_store
    from evalcore.tasks import load_tasks

    run_file = read_run_file(file)
    loaded = load_tasks(run_file.tasks, limit=run_file.limit)
    examples = _prompt_examples([Path(path) for path in run_file.prompts], run_file.limit)
    specs = resolved_models(run_file.model_strings())
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine
    )
    with open_store(workspace, store) as opened, progress_bars() as begin, opener() as running:
        runs = evaluate_tasks(specs, loaded, opened, executor=running, begin=begin)
        answers = answer_prompts(
            specs,
            examples,
            opened,
            params=run_file.params(fitting_length(specs)),
            chat=run_file.chat,
            executor=running,
            begin=begin,
        )
    if as_json:
        print_json({"runs": [_run_form(item) for item in runs], "generations": answers})
    else:
        _print_runs(runs)
        _print_answers(answers, specs)
    _complain_if_unscored(runs)


def tasks(
    task: Annotated[
        list[str] | None, typer.Argument(metavar="TASK", help="Names or YAML files.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the bundled tasks, or check task files of one's own."""
    from evalcore.tasks import bundled_tasks, load_tasks

    loaded = load_tasks(task or bundled_tasks())
    rows = [
        {
            "name": item.name,
            "kind": item.kind,
            "examples": len(item.examples),
            "primary_metric": item.primary_metric,
            "hash": item.hash,
            "description": item.description,
        }
        for item in loaded
    ]
    if as_json:
        print_json({"tasks": rows})
    else:
        print_table([{key: row[key] for key in row if key != "hash"} for row in rows])


def demo(
    workspace: WorkspaceOption = Path("out"),
    limit: Annotated[
        int | None, typer.Option("--limit", "-L", min=1, help="Only the first N examples a task.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take the bundled tiny family through tasks to a leaderboard, a report and MLflow."""
    from rich.console import Console

    from evalcore.evaluate import evaluate as evaluate_tasks
    from evalcore.progress import progress_bars
    from evalcore.store import open_store
    from evalcore.tasks import bundled_tasks, load_tasks
    from leaderboards.standings import standings
    from leaderboards.table import render
    from leaderboards.tracking import sync
    from leaderboards.words import summary
    from reports.page import write_report

    loaded = load_tasks(bundled_tasks(), limit=limit)
    specs = resolved_models(DEMO_MODELS)
    with open_store(workspace, None) as opened:
        with progress_bars() as begin, executor_opener(workspace=workspace)() as running:
            evaluate_tasks(specs, loaded, opened, executor=running, begin=begin)
        board = standings(opened, models=[spec.name for spec in specs])
        report = write_report(board, opened, workspace / "report.html")
        synced = sync(
            board,
            opened,
            tracking_uri=f"sqlite:///{workspace / 'mlflow.db'}",
            board="demo",
            artifacts=workspace / "mlartifacts",
        )
    if as_json:
        print_json({"summary": summary(board), "report": str(report), "sync": synced})
        return
    Console().print(render(board))
    print(f"Report:  open {report} in a browser")
    print(f"MLflow:  {synced.command}")
    print(f"         then open http://127.0.0.1:5000{synced.page}")


def _print_answers(answers: Sequence[Generation], specs: Sequence[ModelSpec]) -> None:
    names = {spec.fingerprint: spec.name for spec in specs}
    rows = [
        {
            "model": names[answer.fingerprint],
            "answer": answer.text,
            "ended by": answer.finish_reason,
        }
        for answer in answers
    ]
    print_table(rows)


def _print_runs(runs: Sequence[EvalRun]) -> None:
    rows = []
    for item in runs:
        found = item.estimates[item.primary_metric]
        rows.append(
            {
                "model": item.spec.name,
                "task": item.task,
                "metric": item.primary_metric,
                "value": f"{found.value:.3f}",
                "interval": f"{found.low:.3f} to {found.high:.3f}",
                "n": found.n,
            }
        )
    print_table(rows)
    for item in runs:
        for warning in item.warnings:
            print(f"note: {item.spec.name}, {item.task}: {warning}")


def _run_form(run: EvalRun) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "model": run.spec.name,
        "fingerprint": run.spec.fingerprint,
        "task": run.task,
        "task_hash": run.task_hash,
        "primary_metric": run.primary_metric,
        "n_examples": run.n_examples,
        "estimates": run.estimates,
        "efficiency": run.efficiency,
        "warnings": run.warnings,
    }


def _prompt_examples(paths: Sequence[Path], limit: int | None) -> list[Example]:
    from evalcore.tasks.prompt_sets import read_prompts

    return [example for path in paths for example in read_prompts(path)[:limit]]


def _complain_if_unscored(runs: Sequence[EvalRun]) -> None:
    unscored = [
        f"{item.spec.name} on {item.task}: {found.n_unscored} of {item.n_examples}"
        for item in runs
        if (found := item.estimates[item.primary_metric]).n_unscored
    ]
    if unscored:
        raise IncompleteError("some examples could not be scored: " + "; ".join(unscored))
