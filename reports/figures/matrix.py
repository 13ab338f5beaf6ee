"""Who wins against whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evalcore.records import Comparison, Estimate
from evalcore.spreadsheet import Cell
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.win_rate import PairVotes, win_rate
from reports.evidence import Evidence
from reports.figures.drawing import Drawing, Figure, Tone
from reports.figures.intervals import estimate_cells
from reports.figures.plot import heat_map

__all__ = ["win_matrices"]

_MOST_MODELS = 25
_Rates = Mapping[tuple[str, str], Estimate]
_Compared = Mapping[tuple[str, str], Sequence[Comparison]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    name: str
    title: str
    what: str
    rates: _Rates
    """Win rate of the first by pair of names; each pair once."""
    n_models: int
    """Models in all, of which the first are compared."""


def win_matrices(evidence: Evidence) -> list[Figure]:
    """Draw win rates by people's votes, by judges, and by the tasks' examples.

    Of many models the first 25 are compared: a hundred have 4,950 pairs.
    """
    ranks = {s.model.name: place for place, s in enumerate(evidence.board.standings)}
    people, judges = evidence.by_pair("human"), evidence.by_pair("judge", "rule")
    sources = [
        _Source(
            name="wins-people",
            title="Win rates in people's votes",
            what="votes of people",
            rates=_from_comparisons(_among_first(people, ranks)),
            n_models=_n_models(people),
        ),
        _Source(
            name="wins-judges",
            title="Win rates by judges",
            what="verdicts of judges and rules, all taken together",
            rates=_from_comparisons(_among_first(judges, ranks)),
            n_models=_n_models(judges),
        ),
        _Source(
            name="wins-tasks",
            title="Examples won",
            what=f"examples ({evidence.board.rating_title}) that the row's model did better on",
            rates=_from_examples(evidence),
            n_models=len(evidence.board.ranked),
        ),
    ]
    return [_figure(source, ranks) for source in sources if source.rates]


def _among_first(pairs: _Compared, ranks: Mapping[str, int]) -> _Compared:
    names = {name for pair in pairs for name in pair}
    first = set(sorted(names, key=lambda name: (ranks.get(name, len(ranks)), name))[:_MOST_MODELS])
    return {pair: items for pair, items in pairs.items() if first.issuperset(pair)}


def _n_models(pairs: _Compared) -> int:
    return len({name for pair in pairs for name in pair})


def _from_comparisons(pairs: _Compared) -> _Rates:
    """Estimate win rates as ``parity compare`` does, clustered by rater and example."""
    worth = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.5}
    found = {}
    for (first, second), items in pairs.items():
        scores = [
            worth[item.winner] if item.model_a == first else 1.0 - worth[item.winner]
            for item in items
        ]
        votes = PairVotes(
            scores=np.array(scores),
            raters=np.unique([item.rater for item in items], return_inverse=True)[1],
            examples=np.unique([item.example_id for item in items], return_inverse=True)[1],
        )
        found[first, second] = win_rate(votes).estimate
    return found


def _from_examples(evidence: Evidence) -> _Rates:
    """Estimate the share of the rating's examples that a model does better on, a tie being half."""
    board = evidence.board
    rated = [column for column in board.columns if column.in_rating]
    if board.ranked_by != "score" or not rated:
        return {}
    keys = [standing.model.fingerprint for standing in board.ranked[:_MOST_MODELS]]
    blocks, labels = [], []
    for number, column in enumerate(rated):
        values = evidence.values[column.task]
        sign = 1.0 if column.higher_is_better else -1.0
        blocks.append(sign * values.among(keys).values)
        n_examples = len(values.table.example_ids)
        own = np.arange(n_examples) if values.groups is None else values.groups
        labels.append(number * 10**9 + own)
    scores, groups = np.hstack(blocks), np.concatenate(labels)
    return {
        (board.ranked[a].model.name, board.ranked[b].model.name): mean_estimate(
            0.5 + 0.5 * np.sign(scores[a] - scores[b]),
            groups=groups,
            bounds=(0.0, 1.0),
        )
        for a, b in combinations(range(len(keys)), 2)
    }


def _figure(source: _Source, ranks: Mapping[str, int]) -> Figure:
    rates = dict(source.rates)
    rates |= {(b, a): _turned(estimate) for (a, b), estimate in source.rates.items()}
    shown = sorted({a for a, _b in rates}, key=lambda name: (ranks.get(name, len(ranks)), name))
    width, height, marks = heat_map(
        [f"{place}. {name}" for place, name in enumerate(shown, 1)],
        [str(place) for place in range(1, len(shown) + 1)],
        [[_cell(rates, row, column) for column in shown] for row in shown],
        row_title="",
        column_title="Win rates against the model with this number, in %",
    )
    return Figure(
        name=source.name,
        section="wins",
        title=source.title,
        caption=f"By {source.what}. Blue: above one half, orange: below; faint where the interval "
        "holds one half."
        + (
            f" The first {len(shown)} of {source.n_models} models; parity compare tells of others."
            if len(shown) < source.n_models
            else ""
        ),
        description=_description(rates, shown),
        drawing=Drawing(width=width, height=height, marks=tuple(marks)),
        rows=tuple(_row(*pair, estimate) for pair, estimate in sorted(source.rates.items())),
    )


def _cell(rates: _Rates, row: str, column: str) -> tuple[str, Tone, float, str] | None:
    found = rates.get((row, column))
    if found is None or found.n == 0:
        return None
    certain = not found.low <= 0.5 <= found.high
    tone: Tone = "good" if found.value >= 0.5 else "bad"
    strength = 0.1 + (0.5 if certain else 0.12) * 2 * abs(found.value - 0.5)
    what = (
        f"{row} against {column}: {100 * found.value:.1f} % "
        f"[{100 * found.low:.1f}, {100 * found.high:.1f}], n = {found.n}"
    )
    return f"{100 * found.value:.0f}", tone, strength, what


def _turned(estimate: Estimate) -> Estimate:
    return Estimate(
        value=1.0 - estimate.value,
        low=1.0 - estimate.high,
        high=1.0 - estimate.low,
        confidence_level=estimate.confidence_level,
        method=estimate.method,
        n=estimate.n,
        n_unscored=estimate.n_unscored,
    )


def _description(rates: _Rates, names: Sequence[str]) -> str:
    said = []
    for name in names[:5]:
        own = [rates[name, other].value for other in names if (name, other) in rates]
        if own:
            said.append(f"{name} wins {100 * sum(own) / len(own):.0f} % on average")
    return "Square table of win rates. " + "; ".join(said)


def _row(first: str, second: str, estimate: Estimate) -> dict[str, Cell]:
    return {"model": first, "against": second, **estimate_cells("win_rate", estimate)}
