"""A study's findings as a page of Markdown, and as rows for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from evalcore.reproductions.records import Book, Finding

__all__ = ["markdown", "tables"]


def tables(book: Book) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield each table's title, and a row for each of its findings."""
    for title, findings in groupby(book.findings, key=lambda finding: finding.table):
        yield title, [_row(finding) for finding in findings]


def _row(finding: Finding) -> dict[str, str]:
    note = f" ({finding.note})" if finding.note else ""
    return {
        "quantity": finding.quantity,
        "published": finding.published or "–",
        "here": f"{finding.computed or '–'}{note}",
        "outcome": finding.outcome,
    }


def markdown(book: Book) -> str:
    """Write a study as a section of a page.

    Examples
    --------
    >>> book = Book(study="s", title="T", source="S", findings=())
    >>> print(markdown(book))
    ## T
    <BLANKLINE>
    S.
    <BLANKLINE>
    """
    lines = [f"## {book.title}", "", f"{book.source}.", ""]
    for title, rows in tables(book):
        lines += [f"| {_cell(title)} | published | here | |", "|:--|:--|:--|:--|"]
        lines += ["| " + " | ".join(map(_cell, row.values())) + " |" for row in rows]
        lines.append("")
    for remark in book.remarks:
        lines += [f"- {remark}"]
    if book.remarks:
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
