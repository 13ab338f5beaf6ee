"""The command ``parity report``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError

__all__ = ["report"]


class Format(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"


def report(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="report.html in DIR if not given."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="By the ending of FILE if not given."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", metavar="TASK", help="Only these tasks; repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME", help="Only these models; repeatable."),
    ] = None,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the leaderboard and all that it rests on as one HTML, Markdown or CSV file."""
    from evalcore.store import open_store
    from leaderboards.standings import standings
    from leaderboards.words import summary
    from reports.markdown import markdown_report
    from reports.page import html_report
    from reports.tables import csv_report
    from reports.writing import write_text

    output = output or workspace / f"report.{form or Format.HTML}"
    form = form or _format_of(output)
    with open_store(workspace, store, create=False) as opened:
        board = standings(opened, tasks=task, models=model)
        match form:
            case Format.HTML:
                text = html_report(board, opened)
            case Format.MARKDOWN:
                text = markdown_report(board)
            case Format.CSV:
                text = csv_report(board)
    write_text(output, text)
    if as_json:
        print_json({"report": str(output), "format": form, "summary": summary(board)})
    else:
        print(summary(board))
        print(f"Report: {output}")


def _format_of(output: Path) -> Format:
    suffix = output.suffix.lower().lstrip(".")
    endings = {"html": Format.HTML, "htm": Format.HTML, "md": Format.MARKDOWN, "csv": Format.CSV}
    if suffix not in endings:
        raise InputError(
            f"--output must end in .html, .md or .csv, or --format must say which; got {output}"
        )
    return endings[suffix]
