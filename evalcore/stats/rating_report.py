"""Ratings as JSON and as a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from evalcore.errors import InputError
from evalcore.stats.counts import BothBad
from evalcore.stats.elo import online_elo
from evalcore.stats.ranks import competition_ranks
from evalcore.stats.rating_options import RatingOptions
from evalcore.stats.rating_result import BradleyTerryResult
from evalcore.stats.ratings import rate_votes
from evalcore.stats.style import rate_at_equal_style
from evalcore.votes.columns import Votes

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["RateRequest", "elo_form", "rate_form", "rating_form", "rating_table"]

_METHODS: tuple[Literal["bradley-terry", "davidson", "elo"], ...] = (
    "bradley-terry",
    "davidson",
    "elo",
)
_CLUSTERS: tuple[Literal["rater", "example", "none"], ...] = ("rater", "example", "none")
ChoiceT = TypeVar("ChoiceT", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRequest:
    """What ``parity rate`` was asked for."""

    method: Literal["bradley-terry", "davidson", "elo"]
    level: float
    """Of the intervals, in (0, 1)."""
    options: RatingOptions
    style: tuple[str, ...] = ()
    """Features of style to hold equal."""
    simultaneous_ranks: bool = False
    """Rank intervals that hold each model's rank with at least the level's probability."""

    @classmethod
    def checked(
        cls,
        *,
        method: str,
        anchor: str | None,
        centre: float,
        level: float,
        both_bad: str,
        cluster: Sequence[str] | None,
        style: Sequence[str] | None,
        simultaneous_ranks: bool = False,
    ) -> RateRequest:
        """Check what came from the command line.

        Raises
        ------
        InputError
            For a value that is not among the permitted ones.
        """
        if method == "elo" and anchor is not None:
            raise InputError("anchor needs method bradley-terry or davidson; got elo")
        if style and method != "bradley-terry":
            raise InputError(f"style needs method bradley-terry; got {method}")
        groups = [_one_of("cluster", name, _CLUSTERS) for name in cluster or ()]
        return cls(
            method=_one_of("method", method, _METHODS),
            level=level,
            options=RatingOptions(
                ties="davidson" if method == "davidson" else "half",
                both_bad=_one_of("both-bad", both_bad, get_args(BothBad)),
                clusters=tuple(g for g in groups if g != "none") if groups else None,
                anchor=anchor,
                centre=centre,
            ),
            style=tuple(style or ()),
            simultaneous_ranks=simultaneous_ranks,
        )


def rate_form(votes: Votes, request: RateRequest) -> dict[str, Any]:
    """Rate models as asked for, shaped for JSON; simulated votes are named as such."""
    if request.method == "elo":
        form = elo_form(votes, centre=request.options.centre)
    elif request.style:
        form = style_form(votes, request)
    else:
        form = rating_form(rate_votes(votes, request.options), request)
    kinds = votes.rater_kind
    if kinds is not None and "simulated" in kinds.names:
        n_simulated = int(np.sum(kinds.codes == kinds.names.index("simulated")))
        if n_simulated:
            form["warnings"].append(f"{n_simulated} of the votes are simulated")
    return form


def rating_form(result: BradleyTerryResult, request: RateRequest) -> dict[str, Any]:
    """Shape ratings for JSON, best model first; what the votes can't tell is None."""
    low, high = result.confidence_interval(request.level)
    rank_low, rank_high = result.rank_interval(
        request.level, simultaneous=request.simultaneous_ranks
    )
    ranks = result.ranks
    rows = [
        {
            "model": model,
            "rating": _number(result.ratings[i]),
            "low": _number(low[i]),
            "high": _number(high[i]),
            "rank": int(ranks[i]) or None,
            "rank_low": int(rank_low[i]) or None,
            "rank_high": int(rank_high[i]) or None,
            "n": _count(result.n_comparisons[i]),
        }
        for i, model in enumerate(result.models)
    ]
    return {
        "method": result.method,
        "n_comparisons": _count(result.n_votes),
        "scale": result.scale,
        "ratings": sorted(rows, key=_best_first),
        "warnings": list(result.warnings),
    }


def style_form(votes: Votes, request: RateRequest) -> dict[str, Any]:
    """Shape ratings at equal style for JSON, with what each feature is worth in log-odds."""
    result = rate_at_equal_style(votes, request.style, request.options)
    worth = [result.coefficient(name, level=request.level) for name in request.style]
    coefficients = [
        {
            "feature": name,
            "coefficient": one.value,
            "low": _number(one.low),
            "high": _number(one.high),
        }
        for name, one in zip(request.style, worth, strict=True)
    ]
    return {**rating_form(result.rating, request), "style": coefficients}


def elo_form(votes: Votes, *, centre: float) -> dict[str, Any]:
    """Shape online Elo ratings for JSON; they have no intervals."""
    ratings = online_elo(votes, initial=centre)
    ranks = competition_ranks(ratings)
    n_each = _votes_per_model(votes)
    rows = [
        {
            "model": model,
            "rating": float(ratings[i]),
            "low": None,
            "high": None,
            "rank": int(ranks[i]),
            "rank_low": None,
            "rank_high": None,
            "n": int(n_each[i]),
        }
        for i, model in enumerate(votes.models)
    ]
    return {
        "method": "online Elo, K = 4, in the order of the votes",
        "n_comparisons": len(votes),
        "scale": f"Elo: 400 points are odds of 10 to 1; first rating = {centre:g}",
        "ratings": sorted(rows, key=_best_first),
        "warnings": ["online Elo depends on the order of the votes and has no interval"],
    }


def rating_table(form: Mapping[str, Any]) -> Table:
    """Lay a form out for people."""
    from rich.table import Table

    table = Table(title=f"{form['n_comparisons']} votes; {form['method']}", caption=form["scale"])
    for name in ("rank", "model", "rating", "interval", "votes"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for row in form["ratings"]:
        table.add_row(
            f"{_text(row['rank'])} ({_text(row['rank_low'])}–{_text(row['rank_high'])})",
            row["model"],
            _text(row["rating"]),
            f"{_text(row['low'])} to {_text(row['high'])}",
            _text(row["n"]),
        )
    return table


def _one_of(option: str, value: str, permitted: Sequence[ChoiceT]) -> ChoiceT:
    for choice in permitted:
        if value == choice:
            return choice
    raise InputError(f"{option} must be one of {', '.join(permitted)}; got {value!r}")


def _best_first(row: Mapping[str, Any]) -> tuple[int, str]:
    return (row["rank"] or sys.maxsize, row["model"])


def _votes_per_model(votes: Votes) -> NDArray[np.int64]:
    n_models = len(votes.models)
    return np.bincount(votes.model_a, minlength=n_models) + np.bincount(
        votes.model_b, minlength=n_models
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _count(value: float) -> int | float:
    return int(value) if float(value).is_integer() else float(value)


def _text(value: float | None) -> str:
    if value is None:
        return "?"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
