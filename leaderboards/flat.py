"""The leaderboard as rows of named values: what CSV, JSON, MLflow, page and report all show.

====================================  ============================================================
name                                  value
====================================  ============================================================
``rank``, ``rating``                  the board's own; ``rank_low``, ``rank_high``, ``rating_low``,
                                      ``rating_high`` are the ends of their intervals,
                                      ``rating_n`` the observations behind
``KIND_rating``, ``KIND_rank`` …      the same by comparisons, KIND being ``human``, ``judge``,
                                      ``rule`` or ``simulated``; ``KIND_n`` comparisons
``KIND_win_rate`` …                   against the reference, also ``score_win_rate``: with ends,
                                      ``_n``, ``KIND_difference_p``, ``KIND_parity_p``,
                                      ``KIND_smallest_margin`` and in words ``KIND_verdict``
``judge_agreement`` …                 share of people's votes that judges agree with
``TASK/METRIC`` …                     a task's column
``training_usd`` … ``joules_per_token``  costs; ``COST_per_point`` by percentage point of the rating
====================================  ============================================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from evalcore.records import Estimate, Standing
from evalcore.spreadsheet import Cell
from leaderboards.records import Cost, Leaderboard, SourceRow, Versus
from leaderboards.variants import public_string

__all__ = ["flat_rows", "mlflow_name"]


def flat_rows(leaderboard: Leaderboard) -> list[dict[str, Cell]]:
    """Return a row for each model, best first; all rows have the same names in the same order.

    Numbers are not rounded. What is not finite, such as the rating of a model that never lost, is
    None.
    """
    rows = [dict(_row(leaderboard, standing)) for standing in leaderboard.standings]
    names = _in_order(rows)
    return [{name: row.get(name) for name in names} for row in rows]


def mlflow_name(name: str) -> str:
    """Shorten a name's end to what MLflow's users know: ``_lo`` and ``_hi``.

    Examples
    --------
    >>> mlflow_name("rating_low"), mlflow_name("rank")
    ('rating_lo', 'rank')
    """
    for ending, short in (("_low", "_lo"), ("_high", "_hi")):
        if name.endswith(ending):
            return name.removesuffix(ending) + short
    return name


def _in_order(rows: list[dict[str, Cell]]) -> list[str]:
    """Put the names of all rows in the order of the fullest ones; ends stay behind their value."""
    names: dict[str, None] = {}
    for row in sorted(rows, key=len, reverse=True):
        names |= dict.fromkeys(row)
    return list(names)


def _row(board: Leaderboard, standing: Standing) -> Iterator[tuple[str, Cell]]:
    spec = standing.model
    yield from _ranks("", standing.rank, standing.rank_low, standing.rank_high)
    yield "tie_group", standing.tie_group
    yield "model", spec.name
    yield "model_string", public_string(spec)
    yield "fingerprint", spec.fingerprint
    yield "licence", spec.licence
    yield "quantization", spec.quantization
    deprecation = board.deprecated.get(spec.fingerprint)
    yield "deprecated", None if deprecation is None else deprecation.reason
    yield from _estimate("rating", standing.rating)
    if board.reference is not None:
        yield from _versus("score", board.score_versus.get(spec.fingerprint))
    for source in board.sources:
        yield from _source(source.kind, source.rows.get(spec.fingerprint))
    if board.agreement is not None:
        yield from _estimate("judge_agreement", board.agreement.by_model.get(spec.fingerprint))
    for column in board.columns:
        yield from _estimate(column.key, standing.metrics.get(column.key))
    yield from _costs(board, standing, board.costs.get(spec.fingerprint))


def _source(kind: str, row: SourceRow | None) -> Iterator[tuple[str, Cell]]:
    if row is None:
        return
    yield from _ranks(f"{kind}_", row.rank, row.rank_low, row.rank_high)
    for name, value in _estimate(f"{kind}_rating", row.rating):
        yield (f"{kind}_n" if name.endswith("_n") else name), value
    yield from _versus(kind, row.versus)


def _versus(kind: str, versus: Versus | None) -> Iterator[tuple[str, Cell]]:
    if versus is None:
        return
    yield from _estimate(f"{kind}_win_rate", versus.win_rate)
    yield f"{kind}_difference_p", _finite(versus.p_difference)
    yield f"{kind}_parity_p", _finite(versus.p_parity)
    yield f"{kind}_smallest_margin", _finite(versus.smallest_margin)
    yield f"{kind}_verdict", versus.verdict


def _costs(board: Leaderboard, standing: Standing, cost: Cost | None) -> Iterator[tuple[str, Cell]]:
    if cost is None:
        return
    costs: Mapping[str, float] = {
        "training_usd": cost.training_usd,
        "training_flops": cost.training_flops,
        "api_usd": cost.api_usd,
        "size_on_disk_bytes": cost.disk_bytes,
        "peak_memory_bytes": cost.memory_bytes,
        "joules_per_token": cost.joules_per_token,
    }
    yield "decode_tokens_per_s", _finite(cost.decode_tokens_per_s)
    yield "prefill_tokens_per_s", _finite(cost.prefill_tokens_per_s)
    for name, value in costs.items():
        yield name, _finite(value)
    points = 100.0 * standing.rating.value
    if board.rating_is_share and points > 0.0:
        for name, value in costs.items():
            yield f"{name}_per_point", _finite(value / points)


def _ranks(
    prefix: str, rank: int | None, low: int | None, high: int | None
) -> Iterator[tuple[str, Cell]]:
    yield f"{prefix}rank", rank
    yield f"{prefix}rank_low", low
    yield f"{prefix}rank_high", high


def _estimate(name: str, estimate: Estimate | None) -> Iterator[tuple[str, Cell]]:
    if estimate is None:
        return
    yield name, _finite(estimate.value)
    yield f"{name}_low", _finite(estimate.low)
    yield f"{name}_high", _finite(estimate.high)
    yield f"{name}_n", estimate.n


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
