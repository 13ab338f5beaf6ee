"""What a report is made of, read once from the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from evalcore.judges.bias.evidence import gather, judges_of
from evalcore.judges.bias.report import BiasReport, bias_report
from evalcore.quantlab.keeping import kept_reports
from evalcore.quantlab.records import QuantReport
from evalcore.records import Comparison
from evalcore.stats.vote_source import named_comparisons
from evalcore.store import Store
from leaderboards.comparing import TaskValues
from leaderboards.records import Leaderboard

__all__ = ["Evidence", "collect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A leaderboard, and what else the workspace says of its models."""

    board: Leaderboard
    values: Mapping[str, TaskValues]
    """By task, example by example."""
    comparisons: tuple[Comparison, ...]
    """Votes and verdicts, oldest first, with the models' names; simulated ones left out."""
    judges: tuple[BiasReport, ...]
    quantised: tuple[QuantReport, ...] = ()
    """What quantisation labs found, oldest first."""

    def by_pair(self, *kinds: str) -> dict[tuple[str, str], list[Comparison]]:
        """Group comparisons by their two models, in the order of the names."""
        chosen = [item for item in self.comparisons if item.rater_kind in kinds]
        chosen.sort(key=_pair)
        return {pair: list(items) for pair, items in groupby(chosen, key=_pair)}


def collect(board: Leaderboard, store: Store) -> Evidence:
    """Read everything that a report on a leaderboard shows."""
    hidden = frozenset() if board.request.under_way else store.hidden_examples()
    return Evidence(
        board=board,
        values=dict(
            zip(
                (column.task for column in board.columns),
                TaskValues.load(
                    store,
                    {(c.task_hash, c.metric): list(c.runs) for c in board.columns},
                    category=board.request.category,
                ),
                strict=True,
            )
        ),
        comparisons=tuple(
            item
            for item in named_comparisons(store, board.request.kinds)
            if item.rater_kind != "human" or item.example_id not in hidden
        ),
        judges=tuple(
            bias_report(gather(store, name, under_way=board.request.under_way))
            for name in judges_of(store)
        ),
        quantised=tuple(kept_reports(store)),
    )


def _pair(comparison: Comparison) -> tuple[str, str]:
    first, second = sorted((comparison.model_a, comparison.model_b))
    return first, second
