"""The command ``parity report``."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalcore.commandline import JsonOption, StoreOption, WorkspaceOption, print_json
from evalcore.errors import InputError
from leaderboards.commandline import BoardOptions, with_board_options
from reports.writing import write_text

if TYPE_CHECKING:
    from evalcore.store import Store
    from reports.evidence import Evidence

__all__ = ["report"]


class Format(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MARKDOWN = "md"
    CSV = "csv"


@with_board_options
def report(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="report.html in DIR if not given."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="By the ending of FILE if not given."),
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            "--figures", metavar="DIR", help="Write the figures instead: SVG, PNG and their data."
        ),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option("--site", metavar="DIR", help="Write a static site instead: pages for all."),
    ] = None,
    options: BoardOptions,
    workspace: WorkspaceOption = Path("out"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the leaderboard and all that it rests on: a page, Markdown, CSV, figures."""
    from evalcore.store import open_store
    from leaderboards.standings import standings
    from leaderboards.words import summary
    from reports.evidence import collect

    if sum([bool(output or form), figures is not None, site is not None]) > 1:
        raise InputError("--figures, --site and --output are written one at a time; choose one")
    if figures is not None and figures.exists() and not figures.is_dir():
        raise InputError(f"--figures must be a folder that can be made; got {figures}")
    output = output or workspace / f"report.{form or Format.HTML}"
    form = form or _format_of(output)
    command = _command(workspace, store, options)
    request = options.request()
    with open_store(workspace, store, create=False) as opened:
        board = standings(opened, request)
        evidence = collect(board, opened)
        if figures is not None:
            from reports.figures.all import figures as made
            from reports.figures.all import write_figures

            files = write_figures(made(evidence), figures)
            result: dict[str, object] = {
                "figures": str(figures),
                "files": [str(path) for path in files],
            }
        elif site is not None:
            from reports.site.writing import write_site

            done = write_site(evidence, opened, site, command=command)
            for name in done.kept:
                print(f"left as it is, changed since it was written: {name}", file=sys.stderr)
            result = {"site": str(site / "index.html"), "files": list(done.files)}
        else:
            write_text(output, _text(form, evidence, opened, command=command))
            result = {"report": str(output), "format": form}
    _say(result | {"summary": summary(board)}, as_json=as_json)


def _text(form: Format, evidence: Evidence, store: Store, *, command: str) -> str:
    from reports.markdown import markdown_report
    from reports.page import html_report
    from reports.tables import csv_report

    match form:
        case Format.HTML:
            return html_report(evidence, store, command=command)
        case Format.MARKDOWN:
            return markdown_report(evidence.board)
        case Format.CSV:
            return csv_report(evidence.board)


def _command(workspace: Path, store: str | None, options: BoardOptions) -> str:
    """Write the command without what says where to.

    A report may be published: of the workspace only the folder's own name is told, and nothing of
    a store's address, which may hold a password.
    """
    parts = ["parity", "report", "-w", workspace.name or "."]
    parts += ["--store", "URL"] if store else []
    return shlex.join([*parts, *options.arguments()])


def _say(result: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    print(result["summary"])
    for name in ("report", "figures", "site"):
        if name in result:
            print(f"{name.capitalize()}: {result[name]}")


def _format_of(output: Path) -> Format:
    suffix = output.suffix.lower().lstrip(".")
    endings = {"html": Format.HTML, "htm": Format.HTML, "md": Format.MARKDOWN, "csv": Format.CSV}
    if suffix not in endings:
        raise InputError(
            f"--output must end in .html, .md or .csv, or --format must say which; got {output}"
        )
    return endings[suffix]
