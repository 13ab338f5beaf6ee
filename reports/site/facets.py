"""A leaderboard seen from one model, and from one task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalcore.records import Estimate, Standing
from evalcore.spreadsheet import Cell, csv_text
from leaderboards.records import Column, Pair
from leaderboards.rounding import column_decimals
from reports.evidence import Evidence
from reports.figures.intervals import estimate_cells

__all__ = ["ModelFacts", "Opponent", "TaskFacts", "TaskRow", "model_facts", "task_facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opponent:
    """Another model, compared on the rating."""

    standing: Standing
    difference: Estimate
    """This model minus the other one."""
    adjusted_p_value: float
    significant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """All that the board says of a model."""

    standing: Standing
    results: tuple[tuple[Column, Estimate], ...]
    categories: tuple[tuple[Column, str, Estimate], ...]
    """Column, category and value."""
    opponents: tuple[Opponent, ...]

    @property
    def csv(self) -> str:
        """Its numbers, unrounded."""
        rows: list[dict[str, Cell]] = [
            {
                "task": column.task,
                "metric": column.metric,
                "category": "",
                **estimate_cells("value", e),
            }
            for column, e in self.results
        ]
        rows += [
            {"task": c.task, "metric": c.metric, "category": name, **estimate_cells("value", e)}
            for c, name, e in self.categories
        ]
        rows += [
            {
                "against": other.standing.model.name,
                **estimate_cells("difference", other.difference),
                "p": other.adjusted_p_value,
            }
            for other in self.opponents
        ]
        return csv_text(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A model on a task."""

    standing: Standing
    estimate: Estimate
    tie_group: str
    is_best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """All that the board says of a task."""

    column: Column
    places: int
    rows: tuple[TaskRow, ...]
    """Best first; models without a value last."""

    @property
    def csv(self) -> str:
        """Its numbers, unrounded."""
        return csv_text(
            {
                "model": row.standing.model.name,
                "fingerprint": row.standing.model.fingerprint,
                "ties": row.tie_group,
                **estimate_cells(self.column.metric, row.estimate),
            }
            for row in self.rows
        )


def model_facts(
    evidence: Evidence, standing: Standing, pairs: Mapping[frozenset[str], Pair]
) -> ModelFacts:
    """Put together what the board says of a model; pairs by their two fingerprints."""
    board, fingerprint = evidence.board, standing.model.fingerprint
    columns = [column for column in board.columns if fingerprint in column.runs]
    met = [
        (other, pairs.get(frozenset((fingerprint, other.model.fingerprint))))
        for other in board.ranked
    ]
    return ModelFacts(
        standing=standing,
        results=tuple((column, standing.metrics[column.key]) for column in columns),
        categories=tuple(
            (column, name.removeprefix(f"{column.metric}/"), estimate)
            for column in columns
            for name, estimate in column.runs[fingerprint].estimates.items()
            if name.startswith(f"{column.metric}/")
        ),
        opponents=tuple(
            _opponent(other, pair, fingerprint) for other, pair in met if pair is not None
        ),
    )


def task_facts(evidence: Evidence, column: Column) -> TaskFacts:
    """Put together what the board says of a task."""
    sign = -1.0 if column.higher_is_better else 1.0
    rows = [
        TaskRow(
            standing=standing,
            estimate=standing.metrics[column.key],
            tie_group=column.tie_groups.get(standing.model.fingerprint, ""),
            is_best=standing.model.fingerprint in column.best,
        )
        for standing in evidence.board.standings
        if standing.model.fingerprint in column.runs
    ]
    rows.sort(
        key=lambda row: (
            row.estimate.value != row.estimate.value,
            sign * row.estimate.value if row.estimate.value == row.estimate.value else 0.0,
        )
    )
    return TaskFacts(column=column, places=column_decimals(column), rows=tuple(rows))


def _opponent(other: Standing, pair: Pair, fingerprint: str) -> Opponent:
    found = pair.paired.difference
    if pair.model_a != fingerprint:
        found = Estimate(
            value=-found.value,
            low=-found.high,
            high=-found.low,
            confidence_level=found.confidence_level,
            method=found.method,
            n=found.n,
            n_unscored=found.n_unscored,
        )
    return Opponent(
        standing=other,
        difference=found,
        adjusted_p_value=pair.adjusted_p_value,
        significant=pair.significant,
    )
