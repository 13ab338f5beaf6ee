"""The command ``parity quantize-check``."""

from __future__ import annotations

import sys
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
from evalcore.errors import IncompleteError
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
    together_opener,
)

if TYPE_CHECKING:
    from evalcore.quantlab.records import QuantReport
    from evalcore.records import ModelSpec

__all__ = ["quantize_check"]


def quantize_check(
    model: Annotated[
        str,
        typer.Option("--model", "-m", metavar="MODEL", help="Such as zoo:tiny or hf:DIR+lora:DIR."),
    ],
    task: Annotated[
        list[str],
        typer.Option("--task", "-t", metavar="TASK", help="Task name or YAML file; repeatable."),
    ],
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--form",
            "-q",
            metavar="FORM",
            help="bf16, fp16, int8, nf4, nf4-single, torchao-int8 or gguf:TYPE; repeatable. Else "
            "those that this machine runs.",
        ),
    ] = None,
    texts: Annotated[
        list[Path] | None,
        typer.Option("--texts", "-p", metavar="FILE", help="Texts to compare on; else the tasks'."),
    ] = None,
    n_texts: Annotated[int, typer.Option(min=1, help="Most texts to compare on.")] = 64,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of each text.")] = 256,
    rounds: Annotated[int, typer.Option(min=0, help="Measurements of speed; 0 for none.")] = 5,
    margin: MarginOption = 0.05,
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
    """Say what each quantised form of a model changes and saves, against single precision.

    A cluster answers the tasks alone; divergences, speed and memory are measured on this machine.
    """
    from evalcore.energy import energy_meter
    from evalcore.progress import progress_bars
    from evalcore.quantlab.records import QuantCheck
    from evalcore.quantlab.study import run_check
    from evalcore.quantlab.texts import texts_of
    from evalcore.quantlab.words import summary
    from evalcore.store import open_store
    from evalcore.tasks import load_task
    from reports.quantisation import quantisation_page
    from reports.writing import write_text
    from runners.forms import fit_together

    margin = checked_margin(margin)
    opener = executor_opener(
        executor, batch_size, workspace=workspace, memory=memory, engine=engine
    )
    loaded = [load_task(name, limit=limit) for name in task]
    reference, forms = _forms(model, form or [], workspace=workspace)
    check = QuantCheck(
        reference=reference,
        forms=tuple(forms.values()),
        labels=tuple(forms),
        texts=texts_of(loaded, texts or [], n_texts=n_texts),
        max_tokens=max_tokens,
        n_rounds=rounds,
        margin=margin,
    )
    together = fit_together(reference, len(forms))
    with open_store(workspace, store) as opened, progress_bars() as begin, opener() as elsewhere:
        report = run_check(
            check,
            loaded,
            opened,
            groups=[check.specs] if together else [[spec] for spec in check.specs],
            open_together=together_opener(batch_size, memory=memory, engine=engine),
            energy=energy_meter(),
            begin=begin,
            # Here, a form that is opened to be measured answers the tasks, too.
            executor=None if executor == "local" else elsewhere,
        )
    if output is not None:
        write_text(output, quantisation_page(report))
    if as_json:
        print_json({"summary": summary(report), "check": report})
    else:
        print(summary(report))
        _print_tables(report)
        if output is not None:
            print(f"Report: {output}")
    _complain_if_unscored(report)


def _forms(
    model: str, forms: list[str], *, workspace: Path
) -> tuple[ModelSpec, dict[str, ModelSpec]]:
    from runners.forms import default_forms, in_single_precision, quantised_form

    reference = in_single_precision(model)
    wanted = dict.fromkeys(forms or default_forms(reference.device))
    folder = workspace / "forms"
    return reference, {
        form: quantised_form(reference, form, folder=folder, note=_note) for form in wanted
    }


def _note(doing: str) -> None:
    print(doing, file=sys.stderr)


def _print_tables(report: QuantReport) -> None:
    from reports.quantisation import cost_rows, task_tables

    print_table(cost_rows(report))
    for title, rows in task_tables(report):
        print(title)
        print_table(rows)
    print(
        f"KL on {report.n_tokens} tokens of {report.n_texts} texts. Speed of one text alone, "
        f"{'forms in turns' if report.is_interleaved else 'one form after the other'}. "
        f"Energy: {report.energy}."
    )


def _complain_if_unscored(report: QuantReport) -> None:
    unscored = {
        f"{form.label} on {change.task}: {change.difference.n_unscored}"
        for form in report.forms
        for change in form.tasks
        if change.difference.n_unscored
    }
    unscored |= {
        f"{form.label}, tokens unlike the reference's: {form.kl.n_unscored} texts"
        for form in report.forms
        if form.kl.n_unscored
    }
    if unscored:
        raise IncompleteError(f"something could not be scored: {'; '.join(sorted(unscored))}")
