"""A leaderboard in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from evalcore.visible import one_line
from leaderboards.cells import Cells, cells
from leaderboards.records import Leaderboard
from leaderboards.words import summary

__all__ = ["leaderboard_markdown", "plain"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&@]|(?<=[a-z]):(?=//)|(?<=\bwww)\.)", re.IGNORECASE)
"""Signs of markup, entities, formulas, mentions and addresses that become links."""


def leaderboard_markdown(leaderboard: Leaderboard, *, max_length: int | None = None) -> str:
    """Write summary, table, legend and warnings; names are escaped.

    Where it would be longer than ``max_length`` characters, first the tasks' columns are left out,
    then the warnings and the last rows.
    """
    whole = _write(leaderboard, cells(leaderboard), leaderboard.warnings)
    if max_length is None or len(whole) <= max_length:
        return whole
    content = cells(leaderboard, tasks=False)
    for n_rows in range(len(content.rows), -1, -1):
        left_out = [
            f"{len(content.rows) - n_rows} more models, and the tasks' columns: see the report"
        ]
        shorter = _write(leaderboard, replace(content, rows=content.rows[:n_rows]), left_out)
        if len(shorter) <= max_length:
            break
    return shorter


def _write(leaderboard: Leaderboard, content: Cells, warnings: Sequence[str]) -> str:
    headings = [" ".join(filter(None, lines)) for lines in content.headings]
    aligned = [":--" if heading in {"Model", "Ties"} else "--:" for heading in headings]
    lines = [
        plain(summary(leaderboard)),
        "",
        _row(plain(heading) for heading in headings),
        _row(aligned),
        *(_row(plain(cell.strip()) for cell in row) for row in content.rows),
        "",
        plain(content.legend),
    ]
    if warnings:
        lines += ["", "Notes:", "", *(f"- {plain(warning)}" for warning in warnings)]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Escape what Markdown or HTML would take as markup, on one line."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"
