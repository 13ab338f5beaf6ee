"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalcore.records import Standing, utc_now
from evalcore.spreadsheet import Cell
from evalcore.store import Store
from leaderboards.compared_cells import compared_columns
from leaderboards.flat import flat_rows
from leaderboards.records import Leaderboard
from leaderboards.rounding import column_decimals, decimals
from leaderboards.words import summary
from reports.contests import contests
from reports.data import DataFile, figure_data
from reports.effects import effects
from reports.evidence import Evidence, collect
from reports.examples import RULE, most_disputed
from reports.figures.all import figures
from reports.figures.drawing import Figure
from reports.judges import judge_section
from reports.provenance import commands, environments, model_sources, task_sources
from reports.quantisation import quantised_context
from reports.tables import csv_report
from reports.templating import environment
from reports.writing import write_text

__all__ = ["board_context", "html_report", "write_report"]


def write_report(leaderboard: Leaderboard, store: Store, path: Path) -> Path:
    """Write a leaderboard, what it rests on and how it was made as one HTML file.

    The file asks for nothing from elsewhere, so that it can be mailed, archived and opened offline.

    Parameters
    ----------
    leaderboard
        What to report on.
    store
        The workspace it comes from, for the examples.
    path
        The file; its folder is made, and a file that is there is replaced when all is written.

    Raises
    ------
    InputError
        If the file can't be written.
    """
    return write_text(path, html_report(collect(leaderboard, store), store))


def html_report(evidence: Evidence, store: Store, *, command: str = "parity report") -> str:
    """Return the report's text.

    Parameters
    ----------
    evidence
        The leaderboard and what goes with it.
    store
        The workspace it comes from.
    command
        What makes this report, without the option that says where to; shown beside every number.
    """
    cards, notes = most_disputed(evidence, store)
    return (
        environment()
        .get_template("report.html")
        .render(
            **board_context(evidence, figures(evidence), command=command),
            contests=contests(evidence, store) if evidence.board.columns else [],
            cards=cards,
            card_notes=notes,
            rule=RULE,
            written_utc=utc_now(),
        )
    )


def board_context(evidence: Evidence, made: Sequence[Figure], *, command: str) -> dict[str, object]:
    """Return what the templates' parts on a leaderboard and its figures show."""
    leaderboard = evidence.board
    every = effects(leaderboard) if leaderboard.columns else []
    return {
        "board": leaderboard,
        "summary": summary(leaderboard),
        "places": decimals(standing.rating for standing in leaderboard.ranked),
        "column_places": {column.key: column_decimals(column) for column in leaderboard.columns},
        "compared": list(_compared(leaderboard)),
        "shows_speed": _any_speed(leaderboard.standings),
        "figures": made,
        "data": {
            figure.name: figure_data(figure, f"{command} --figures figures") for figure in made
        },
        "board_data": DataFile(
            name="leaderboard.csv",
            csv=csv_report(leaderboard),
            command=f"{command} -o leaderboard.csv",
        ),
        "effects": {
            kind: [effect for effect in every if effect.kind == kind]
            for kind in ("adapters", "precision")
        },
        "quantised": quantised_context(evidence.quantised),
        "judges": judge_section(evidence.judges),
        "models": model_sources(leaderboard),
        "tasks": task_sources(leaderboard),
        "environments": environments(leaderboard),
        "commands": commands(leaderboard),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _ComparedColumn:
    """What raters of a kind say, or a comparison with the reference."""

    title: str
    small: str
    name: str
    """Of the value that it is sorted by, in the flat table."""
    cells: tuple[tuple[str, Cell], ...]
    """Text and exact value, by standing."""


def _compared(board: Leaderboard) -> Iterator[_ComparedColumn]:
    """Put the columns of votes, verdicts and the reference beside their exact values."""
    rows = flat_rows(board)
    names = [f"{source.kind}_rating" for source in board.sources]
    if board.reference is not None:
        names += ["score_win_rate"] if board.score_versus else []
        names += [
            f"{source.kind}_win_rate"
            for source in board.sources
            if any(row.versus for row in source.rows.values())
        ]
    names += ["judge_agreement"] if board.agreement is not None else []
    for ((title, small), texts), name in zip(compared_columns(board), names, strict=True):
        cells = zip(texts, (row[name] for row in rows), strict=True)
        yield _ComparedColumn(title=title, small=small, name=name, cells=tuple(cells))


def _any_speed(standings: tuple[Standing, ...]) -> bool:
    return any(standing.efficiency.decode_tokens for standing in standings)
