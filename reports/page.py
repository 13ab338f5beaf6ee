"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from evalcore.judges.bias.evidence import gather, judges_of
from evalcore.judges.bias.report import bias_report
from evalcore.records import Standing, utc_now
from evalcore.store import Store
from leaderboards.records import Leaderboard
from leaderboards.rounding import column_decimals, decimals
from leaderboards.words import summary
from reports.contests import contests
from reports.effects import effects
from reports.figures import interval_plot, scatters
from reports.judges import judge_section
from reports.provenance import commands, environments, model_sources, task_sources
from reports.templating import environment
from reports.writing import write_text

__all__ = ["html_report", "write_report"]


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
    return write_text(path, html_report(leaderboard, store))


def html_report(leaderboard: Leaderboard, store: Store) -> str:
    """Return the report's text."""
    every = effects(leaderboard)
    return (
        environment()
        .get_template("report.html")
        .render(
            board=leaderboard,
            summary=summary(leaderboard),
            places=decimals(standing.rating for standing in leaderboard.ranked),
            column_places={column.key: column_decimals(column) for column in leaderboard.columns},
            shows_speed=_any_speed(leaderboard.standings),
            plot=interval_plot(leaderboard),
            effects={
                kind: [effect for effect in every if effect.kind == kind]
                for kind in ("adapters", "precision")
            },
            scatters=scatters(leaderboard),
            contests=contests(leaderboard, store),
            judges=judge_section([bias_report(gather(store, name)) for name in judges_of(store)]),
            models=model_sources(leaderboard),
            tasks=task_sources(leaderboard),
            environments=environments(leaderboard),
            commands=commands(leaderboard),
            written_utc=utc_now(),
        )
    )


def _any_speed(standings: tuple[Standing, ...]) -> bool:
    return any(standing.efficiency.decode_tokens for standing in standings)
