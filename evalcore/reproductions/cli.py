"""The command ``parity reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalcore.commandline import JsonOption, print_json, print_table
from evalcore.errors import InputError

__all__ = ["reproduce"]


def reproduce(
    study: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="vicuna, alpaca_eval, mt_bench, open_assistant or pandalm."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder that holds the study's files as its repository has them.",
        ),
    ] = Path(),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write it as Markdown."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a published study's numbers again, with the intervals and tests it left out."""
    from evalcore.reproductions.studies import reproduce as reproduced
    from evalcore.reproductions.writing import markdown, tables

    book = reproduced(study, data)
    if output is not None:
        try:
            output.write_text(markdown(book), encoding="utf-8")
        except OSError as error:
            raise InputError(f"{output} can't be written: {error.strerror}") from error
    if as_json:
        print_json(book)
        return
    print(f"{book.title}\n{book.source}")
    for title, rows in tables(book):
        print(f"\n{title}")
        print_table(rows)
    for remark in book.remarks:
        print(f"- {remark}")
