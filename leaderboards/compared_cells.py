"""Votes, verdicts and the reference as text, column by column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from leaderboards.records import Leaderboard, Source, Versus
from leaderboards.rounding import NOTHING, decimals, number, with_interval

__all__ = ["compared_columns", "rank_text"]

_Column = tuple[tuple[str, str], list[str]]
_SHORT: Mapping[str, str] = {
    "human": "Human",
    "judge": "Judge",
    "rule": "Rule",
    "simulated": "SIMULATED",
}


def compared_columns(leaderboard: Leaderboard) -> Iterator[_Column]:
    """Yield heading and cells of each kind of rater, of the reference, and of the agreement."""
    order = [standing.model.fingerprint for standing in leaderboard.standings]
    for source in leaderboard.sources:
        yield _rating_column(source, order)
    if leaderboard.reference is not None:
        name = next(
            standing.model.name
            for standing in leaderboard.standings
            if standing.model.fingerprint == leaderboard.reference
        )
        versus = {"score": leaderboard.score_versus} if leaderboard.score_versus else {}
        versus |= {
            source.kind: {key: row.versus for key, row in source.rows.items() if row.versus}
            for source in leaderboard.sources
        }
        for kind, rows in versus.items():
            if rows:
                yield _versus_column(f"{_SHORT.get(kind, 'Scores')} vs {name}", rows, order)
    if leaderboard.agreement is not None:
        shares = leaderboard.agreement.by_model
        places = decimals(shares.values())
        heading = "Judge = human", f"share\nn={leaderboard.agreement.n_pairs}"
        yield (
            heading,
            [number(shares[key].value, places) if key in shares else NOTHING for key in order],
        )


def rank_text(rank: int | None, low: int | None, high: int | None) -> str:
    """Write a rank with its range, such as ``2 (1–3)``; a dash for none."""
    if rank is None:
        return NOTHING
    return str(rank) if low == high else f"{rank} ({low}–{high})"


def _rating_column(source: Source, order: list[str]) -> _Column:
    places = decimals(row.rating for row in source.rows.values())
    texts = []
    for key in order:
        row = source.rows.get(key)
        if row is None or row.rank is None:
            texts.append(NOTHING)
        else:
            rank = rank_text(row.rank, row.rank_low, row.rank_high)
            texts.append(f"{with_interval(row.rating, places)}  {rank}")
    return (_SHORT[source.kind], f"Elo, rank\nn={source.n_comparisons}"), texts


def _versus_column(title: str, rows: Mapping[str, Versus], order: list[str]) -> _Column:
    places = decimals(versus.win_rate for versus in rows.values())
    texts = []
    for key in order:
        versus = rows.get(key)
        if versus is None or math.isnan(versus.win_rate.value):
            texts.append(NOTHING)
        else:
            texts.append(f"{with_interval(versus.win_rate, places)}  {versus.verdict}")
    return (title, "win rate, verdict"), texts
