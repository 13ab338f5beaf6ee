"""The leaderboard as a flat table, for spreadsheets and notebooks."""

from __future__ import annotations

import pandas as pd

from evalcore.spreadsheet import csv_text
from leaderboards.flat import flat_rows
from leaderboards.records import Leaderboard

__all__ = ["csv_report", "leaderboard_frame"]


def leaderboard_frame(leaderboard: Leaderboard) -> pd.DataFrame:
    """Return one row for each model, numbers unrounded: see :mod:`leaderboards.flat`."""
    frame = pd.DataFrame(flat_rows(leaderboard))
    return frame.astype(dict.fromkeys(("rank", "rank_low", "rank_high"), "Int64"))


def csv_report(leaderboard: Leaderboard) -> str:
    """Write the same as CSV; what is missing is an empty cell, and no cell is a formula."""
    return csv_text(flat_rows(leaderboard))
