"""Judges in a report: what their verdicts are worth, as a page of its own or a section."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from evalcore.judges.bias.report import BiasReport
from evalcore.judges.bias.words import lines, percent
from evalcore.records import Estimate, utc_now
from reports.templating import environment

__all__ = ["judge_page", "judge_section"]


def judge_page(reports: Sequence[BiasReport]) -> str:
    """Return a page on judges that needs nothing else.

    Parameters
    ----------
    reports
        One for each judge.
    """
    return (
        environment()
        .get_template("judges.html")
        .render(judges=[_shown(report) for report in reports], written_utc=utc_now())
    )


def judge_section(reports: Sequence[BiasReport]) -> list[dict[str, object]]:
    """Return what the template's part ``judge_report`` shows, for a page with other parts."""
    return [_shown(report) for report in reports]


def _shown(report: BiasReport) -> dict[str, object]:
    return {
        "report": report,
        "groups": [
            (heading, list(group))
            for heading, group in groupby(lines(report), key=lambda line: line.heading)
        ],
        "contests": [
            {
                "model": row.model,
                "opponent": row.opponent,
                "cells": [
                    _cell(estimate)
                    for estimate in (
                        row.judge,
                        row.shown_first,
                        row.shown_second,
                        row.at_equal_length,
                        row.calibrated,
                        row.people,
                        row.fused,
                    )
                ],
            }
            for row in report.contests
        ],
    }


def _cell(estimate: Estimate | None) -> tuple[str, float | str]:
    """Return text and sort key."""
    known = estimate is not None and estimate.value == estimate.value
    return percent(estimate) if known else "–", estimate.value if known and estimate else ""
