"""All figures of a report."""

from __future__ import annotations

from pathlib import Path

from reports.evidence import Evidence
from reports.figures.drawing import Figure
from reports.figures.intervals import rating_figure
from reports.figures.judging import bias_figure, calibration_figure
from reports.figures.matrix import win_matrices
from reports.figures.pareto import pareto_figures
from reports.figures.quantised import quantised_figures
from reports.figures.radar import radar_figures
from reports.figures.rank_chances import rank_figure
from reports.figures.scaling import scaling_figures
from reports.figures.svg import svg_file
from reports.figures.votes import votes_figure
from reports.writing import write_bytes, write_text

__all__ = ["figures", "write_figures"]


def figures(evidence: Evidence) -> list[Figure]:
    """Make every figure that there are numbers for, in the order of the report."""
    board = evidence.board
    candidates = [
        rating_figure(board),
        rank_figure(evidence),
        *win_matrices(evidence),
        *radar_figures(board),
        *pareto_figures(board),
        *quantised_figures(evidence.quantised),
        *scaling_figures(board),
        bias_figure(evidence.judges),
        calibration_figure(evidence.judges),
        votes_figure(evidence.comparisons),
    ]
    return [figure for figure in candidates if figure is not None]


def write_figures(made: list[Figure], folder: Path) -> list[Path]:
    """Write each figure as SVG and PNG, and its numbers as CSV.

    Raises
    ------
    InputError
        If a file can't be written.
    """
    from reports.figures.png import png

    written = []
    for figure in made:
        stem = folder / figure.name
        written.append(write_text(stem.with_suffix(".svg"), svg_file(figure)))
        written.append(write_bytes(stem.with_suffix(".png"), png(figure.drawing)))
        written.append(write_text(stem.with_suffix(".csv"), figure.csv))
    return written
