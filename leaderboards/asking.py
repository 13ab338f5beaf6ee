"""From a command's options to what a leaderboard is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import get_args

from evalcore.errors import InputError
from evalcore.rater_kinds import rater_kinds
from evalcore.records import RaterKind
from leaderboards.request import BoardRequest, By, Filters

__all__ = ["board_request", "size_range"]

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[KMBT]?)", re.IGNORECASE)
_UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def board_request(
    *,
    tasks: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    by: str | None = None,
    raters: Sequence[str] | None = None,
    reference: str | None = None,
    margin: float = 0.05,
    category: str | None = None,
    licences: Sequence[str] | None = None,
    open_stack: bool = False,
    size: str | None = None,
    quantizations: Sequence[str] | None = None,
    common: bool = False,
    under_way: bool = False,
) -> BoardRequest:
    """Check options that came as text.

    Raises
    ------
    InputError
        For a value that is not permitted.
    """
    least, most = size_range(size)
    return BoardRequest(
        tasks=None if not tasks else tuple(tasks),
        models=None if not models else tuple(models),
        by=_by(by),
        kinds=_kinds(raters, by),
        category=category,
        reference=reference,
        margin=margin,
        filters=Filters(
            licences=tuple(sorted(name.lower() for name in licences or ())),
            open_stack=open_stack,
            least_parameters=least,
            most_parameters=most,
            quantizations=tuple(sorted(quantizations or ())),
        ),
        common=common,
        under_way=under_way,
    )


def size_range(text: str | None) -> tuple[float | None, float | None]:
    """Read a range of parameters.

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> size_range("500M-7B"), size_range("-3B"), size_range("7B")
    ((500000000.0, 7000000000.0), (None, 3000000000.0), (7000000000.0, 7000000000.0))
    """
    if text is None:
        return None, None
    first, dash, last = text.strip().partition("-")
    if not first and not last:
        raise InputError(f"--size must be such as 1B-7B, -3B or 500M-; got {text!r}")
    least, most = _parameters(first, text), _parameters(last if dash else first, text)
    if least is not None and most is not None and least > most:
        raise InputError(f"--size must go from less to more; got {text!r}")
    return least, most


def _parameters(part: str, text: str) -> float | None:
    if not part.strip():
        return None
    found = _SIZE.fullmatch(part.strip())
    if found is None:
        raise InputError(f"--size must be such as 1B-7B, -3B or 500M-; got {text!r}")
    return float(found["number"]) * _UNITS[found["unit"].upper()]


def _by(text: str | None) -> By | None:
    for choice in get_args(By):
        if text == choice:
            found: By = choice
            return found
    if text is None:
        return None
    raise InputError(f"--by must be one of {', '.join(get_args(By))}; got {text!r}")


def _kinds(raters: Sequence[str] | None, by: str | None) -> tuple[RaterKind, ...]:
    """Kinds asked for; simulated votes only where they are named."""
    also = [by] if by is not None and by in get_args(RaterKind) else []
    return rater_kinds([*rater_kinds(raters), *also])
