"""The kinds of rater that a command's ``--raters`` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from evalcore.errors import InputError
from evalcore.records import RaterKind

__all__ = ["REAL_KINDS", "rater_kinds"]

REAL_KINDS: tuple[RaterKind, ...] = ("human", "judge", "rule")
"""All but simulated ones, which count only where they are named."""


def rater_kinds(
    given: Sequence[str] | None, *, default: Sequence[RaterKind] = REAL_KINDS
) -> tuple[RaterKind, ...]:
    """Check what was named, and return it in the records' order; the default for nothing.

    Raises
    ------
    InputError
        For a kind that there is not.
    """
    known: tuple[RaterKind, ...] = get_args(RaterKind)
    for kind in given or ():
        if kind not in known:
            raise InputError(f"--raters must be one of {', '.join(known)}; got {kind!r}")
    wanted = frozenset[str](given or default)
    return tuple(kind for kind in known if kind in wanted)
