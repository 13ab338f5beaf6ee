"""The leaderboard as a flat table, for spreadsheets and notebooks."""

from __future__ import annotations

import pandas as pd

from evalcore.records import Estimate, Standing
from evalcore.spreadsheet import Cell, csv_text
from leaderboards.records import Leaderboard
from leaderboards.variants import model_string

__all__ = ["csv_report", "leaderboard_frame"]


def leaderboard_frame(leaderboard: Leaderboard) -> pd.DataFrame:
    """Return one row for each model, numbers unrounded.

    Each estimate has the columns ``X``, ``X_low``, ``X_high`` and ``X_n``, X being ``rating`` or
    ``task/metric``.
    """
    frame = pd.DataFrame([_row(leaderboard, standing) for standing in leaderboard.standings])
    return frame.astype(dict.fromkeys(("rank", "rank_low", "rank_high"), "Int64"))


def csv_report(leaderboard: Leaderboard) -> str:
    """Write the same as CSV; what is missing is an empty cell, and no cell is a formula."""
    return csv_text(_row(leaderboard, standing) for standing in leaderboard.standings)


def _row(leaderboard: Leaderboard, standing: Standing) -> dict[str, Cell]:
    spec, work = standing.model, standing.efficiency
    row: dict[str, Cell] = {
        "rank": standing.rank,
        "rank_low": standing.rank_low,
        "rank_high": standing.rank_high,
        "tie_group": standing.tie_group,
        "model": spec.name,
        "model_string": model_string(spec),
        "fingerprint": spec.fingerprint,
        **_numbers("rating", standing.rating),
    }
    for column in leaderboard.columns:
        if column.key in standing.metrics:
            row |= _numbers(column.key, standing.metrics[column.key])
    return row | {
        "decode_tokens_per_s": work.decode_tokens_per_s,
        "prefill_tokens_per_s": work.prefill_tokens_per_s,
        "peak_memory_bytes": work.peak_memory_bytes or None,
        "size_on_disk_bytes": work.size_on_disk_bytes or None,
    }


def _numbers(name: str, estimate: Estimate) -> dict[str, Cell]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
        f"{name}_n": estimate.n,
    }
