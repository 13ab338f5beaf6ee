"""The leaderboard as a flat table, for spreadsheets."""

from __future__ import annotations

from evalcore.spreadsheet import csv_text
from leaderboards.flat import flat_rows
from leaderboards.records import Leaderboard

__all__ = ["csv_report"]


def csv_report(leaderboard: Leaderboard) -> str:
    """Write one row for each model as CSV, numbers unrounded: see :mod:`leaderboards.flat`.

    What is missing is an empty cell, and no cell is a formula.
    """
    return csv_text(flat_rows(leaderboard))
