"""A leaderboard as HTML for the reading page; no Gradio, and no leaderboard's own code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from evalcore.board_view import BoardView, Interval

__all__ = ["interval_svg", "view_html"]


_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 220, 40, 26, 24
_MOST_DRAWN = 30
_MOST_NOTES = 20


def view_html(view: BoardView, *, search: str = "") -> str:
    """Write summary, table and notes; the table's headings sort it, without a server."""
    if not view.rows:
        return f'<p class="board-summary">{_text(view.summary)}</p>'
    wanted = search.strip().casefold()
    name_at = next(
        (place for place, (line, _small) in enumerate(view.headings) if line == "Model"), 0
    )
    rows = [
        _row(cells, keys)
        for cells, keys in zip(view.rows, view.sort_keys, strict=True)
        if wanted in cells[name_at].casefold()
    ]
    headings = "".join(_heading(line, small) for line, small in view.headings)
    notes = "".join(f"<li>{_text(note)}</li>" for note in view.notes[:_MOST_NOTES])
    more = len(view.notes) - _MOST_NOTES
    if more > 0:
        notes += f"<li>and {more} more</li>"
    return (
        f'<p class="board-summary">{_text(view.summary)}</p>'
        f'<div class="board-scroll" tabindex="0" role="region" aria-label="Leaderboard">'
        f'<table class="board-table"><thead><tr>{headings}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="board-legend">{_text(view.legend)}</p>'
        + (f'<ul class="board-notes">{notes}</ul>' if notes else "")
    )


def interval_svg(view: BoardView) -> str:
    """Draw ratings with their intervals, best first; empty without any that is finite."""
    drawn = [item for item in view.intervals if math.isfinite(item.value)][:_MOST_DRAWN]
    if not drawn:
        return ""
    ends = [
        end for item in drawn for end in (item.low, item.value, item.high) if math.isfinite(end)
    ]
    low, high = min(ends), max(ends)
    spread = (high - low) or 1.0
    height = _TOP + _ROW * len(drawn) + 30

    def x(value: float) -> float:
        inside = min(max(value, low), high)
        return _LEFT + (inside - low) / spread * (_WIDTH - _LEFT - _RIGHT)

    marks = "".join(_mark(item, _TOP + _ROW * place, x) for place, item in enumerate(drawn))
    axis = "".join(
        f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{_TOP - 12}" y2="{height - 26}" '
        f'class="board-grid"/><text x="{x(at):.1f}" y="{height - 8}" text-anchor="middle">'
        f"{at:.3g}</text>"
        for at in (low, low + spread / 2, high)
    )
    title = _text(f"{view.rating_title}: ratings with their intervals")
    return (
        f'<svg class="board-plot" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{title}"><title>{title}</title>{axis}{marks}</svg>'
    )


def _mark(item: Interval, y: float, x: Callable[[float], float]) -> str:
    name = item.model if len(item.model) <= 30 else item.model[:29] + "…"
    low = item.low if math.isfinite(item.low) else item.value
    high = item.high if math.isfinite(item.high) else item.value
    return (
        f"<g><title>{_text(f'{item.model}: {item.text}')}</title>"
        f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{_text(name)}</text>'
        f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}" class="board-line"/>'
        f'<circle cx="{x(item.value):.1f}" cy="{y}" r="4.5" class="board-dot"/></g>'
    )


def _heading(line: str, small: str) -> str:
    below = "".join(f"<small>{_text(part)}</small>" for part in small.splitlines() if part)
    return (
        '<th scope="col" aria-sort="none"><button type="button" class="board-sort">'
        f"{_text(line)}{below}</button></th>"
    )


def _row(cells: Sequence[str], keys: Sequence[float | str | None]) -> str:
    written = "".join(
        f'<td data-key="{_text(_key(key))}">{_text(cell.strip())}</td>'
        for cell, key in zip(cells, keys, strict=True)
    )
    return f"<tr>{written}</tr>"


def _key(key: float | str | None) -> str:
    return "" if key is None else str(key)


def _text(text: str) -> str:
    return escape(text, quote=True)
