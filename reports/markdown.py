"""The report in Markdown, for a README, a model card or an issue."""

from __future__ import annotations

import textwrap

from evalcore.records import utc_now
from leaderboards.markdown import leaderboard_markdown, plain
from leaderboards.records import Leaderboard
from leaderboards.rounding import column_decimals, signed
from reports.effects import Effect, effects
from reports.provenance import commands, environments, model_sources, task_sources

__all__ = ["markdown_report"]


def markdown_report(leaderboard: Leaderboard) -> str:
    """Write standings, effects of adapters and precision, and how everything was produced."""
    parts = [
        "# Leaderboard\n",
        leaderboard_markdown(leaderboard),
        *_effects(leaderboard),
        "## How everything was produced\n",
        # Indented rather than fenced: a name may hold a fence.
        textwrap.indent("\n".join(commands(leaderboard)), "    ") + "\n",
        *_sources(leaderboard),
        f"Written {utc_now()} by Parity.\n",
    ]
    return "\n".join(parts)


def _effects(leaderboard: Leaderboard) -> list[str]:
    found = effects(leaderboard)
    if not found:
        return []
    places = [column_decimals(column) for column in leaderboard.columns]
    headings = ["Variant", "Against", *(column.key for column in leaderboard.columns)]
    lines = [
        "## What adapters and precision change\n",
        _row(headings),
        _row([":--", ":--", *("--:" for _column in leaderboard.columns)]),
        *(_row(_effect_cells(effect, places)) for effect in found),
        "",
        r"Change of each metric; \* significant after correction for all pairs of models." + "\n",
    ]
    return ["\n".join(lines)]


def _effect_cells(effect: Effect, places: list[int]) -> list[str]:
    changes = [
        "–" if cell is None else signed(cell.difference, digits) + "*" * cell.significant
        for cell, digits in zip(effect.cells, places, strict=True)
    ]
    return [effect.variant.model.name, effect.reference.model.name, *changes]


def _sources(leaderboard: Leaderboard) -> list[str]:
    models = [
        _row(["Model", "Fingerprint", "Weights, SHA-256", "Model string"]),
        _row([":--"] * 4),
        *(
            _row(
                [
                    source.spec.name,
                    source.spec.fingerprint,
                    source.spec.sha256[:16] or "–",
                    source.model_string,
                ]
            )
            for source in model_sources(leaderboard)
        ),
    ]
    tasks = [
        _row(["Task", "Metric", "n", "Task hash", "Evaluated"]),
        _row([":--", ":--", "--:", ":--", ":--"]),
        *(
            _row([task.task, task.metric, str(task.n_examples), task.task_hash, task.last_utc])
            for task in task_sources(leaderboard)
        ),
    ]
    versions = [
        f"- {count} runs: " + ", ".join(f"{name} {text}" for name, text in found.items())
        for found, count in environments(leaderboard)
    ]
    return ["\n".join(lines) + "\n" for lines in (models, tasks, versions)]


def _row(cells: list[str]) -> str:
    rules = {":--", "--:"}
    return f"| {' | '.join(cell if cell in rules else plain(cell) for cell in cells)} |"
