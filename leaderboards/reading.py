"""A leaderboard for the reading page: read again as votes arrive, and no more often than needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import replace

from evalcore.board_view import Asked, BoardView, Choices, Interval, Show
from evalcore.store import Store
from leaderboards.asking import board_request
from leaderboards.cells import cells
from leaderboards.flat import flat_rows
from leaderboards.records import Leaderboard
from leaderboards.request import BoardRequest
from leaderboards.rounding import decimals, with_interval
from leaderboards.standings import standings
from leaderboards.words import summary

__all__ = ["board_view", "reader"]

_FRESH_S = 2.0
_MOST_KEPT = 64
_BY_HEADING = {
    "Rank": "rank",
    "Model": "model",
    "Rating": "rating",
    "Ties": "tie_group",
    "Human": "human_rating",
    "Judge": "judge_rating",
    "Rule": "rule_rating",
    "SIMULATED": "simulated_rating",
    "Judge = human": "judge_agreement",
    "Speed": "decode_tokens_per_s",
}


def reader(store: Store, request: BoardRequest | None = None) -> Show:
    """Return what reads a workspace's leaderboard for pages.

    People's votes in studies that are under way are left out: whoever still votes must not see
    what others said. However many look, a board is made once in two seconds, or in five times as
    long as it takes.

    Parameters
    ----------
    store
        The workspace, open as long as the page is served.
    request
        What the page shows at first; readers' choices come on top.
    """
    base = request or BoardRequest()
    kept: dict[Asked, tuple[float, BoardView]] = {}
    lock = threading.Lock()

    def show(asked: Asked) -> BoardView:
        key = replace(asked, search="")
        with lock:
            until, view = kept.get(key, (0.0, BoardView(summary="")))
            started = time.monotonic()
            if started < until:
                return view
            view = board_view(standings(store, _request(base, key)))
            view = replace(view, choices=_choices(store, view))
            took = time.monotonic() - started
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[key] = time.monotonic() + max(_FRESH_S, 5 * took), view
            return view

    return show


def board_view(board: Leaderboard) -> BoardView:
    """Shape a leaderboard for a page."""
    content = cells(board)
    table = flat_rows(board)
    columns = {column.task: column.key for column in board.columns}
    reference = f" vs {_reference_name(board)}"
    keys = [
        _BY_HEADING.get(line) or columns.get(line) or _win_rate_name(line, reference)
        for line, _small in content.headings
    ]
    places = decimals(standing.rating for standing in board.ranked)
    return BoardView(
        summary=summary(board),
        headings=content.headings,
        rows=content.rows,
        sort_keys=[[row.get(key) if key else None for key in keys] for row in table],
        intervals=[
            Interval(
                model=standing.model.name,
                value=standing.rating.value,
                low=standing.rating.low,
                high=standing.rating.high,
                text=with_interval(standing.rating, places),
            )
            for standing in board.ranked
        ],
        rating_title=board.rating_title,
        legend=content.legend,
        notes=board.warnings,
        choices=Choices(
            by=(*(["score"] if board.columns else []), *(s.kind for s in board.sources)),
            licences=_known(standing.model.licence for standing in board.standings),
            quantizations=_known(
                standing.model.quantization or "none" for standing in board.standings
            ),
            models=_known(standing.model.name for standing in board.standings),
        ),
    )


def _request(base: BoardRequest, asked: Asked) -> BoardRequest:
    chosen = board_request(
        by=asked.by or None,
        category=asked.category or None,
        licences=[asked.licence] if asked.licence else None,
        quantizations=[asked.quantization] if asked.quantization else None,
        size=asked.size or None,
        open_stack=asked.open_stack,
        reference=asked.reference or None,
    )
    return replace(
        base,
        by=chosen.by or base.by,
        category=chosen.category or base.category,
        reference=chosen.reference or base.reference,
        filters=chosen.filters if chosen.filters.words() else base.filters,
    )


def _choices(store: Store, view: BoardView) -> Choices:
    return replace(view.choices, categories=_known(store.categories()))


def _known(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name}))


def _reference_name(board: Leaderboard) -> str:
    return next(
        (s.model.name for s in board.standings if s.model.fingerprint == board.reference), ""
    )


def _win_rate_name(line: str, reference: str) -> str:
    kind = line.removesuffix(reference).lower()
    return f"{'score' if kind == 'scores' else kind}_win_rate" if line.endswith(reference) else ""
