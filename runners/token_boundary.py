"""Where a context ends in a text that was tokenised as a whole."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["boundary"]


def boundary(context: Sequence[int], whole: Sequence[int]) -> int:
    """Return the place in `whole` at which the continuation begins.

    That is where the context alone would end, counted in tokens. Where a merge across the boundary
    leaves nothing behind that place, it is the first token in which the two differ, which is the
    one that holds the boundary.
    """
    if len(context) < len(whole):
        return len(context)
    pairs = zip(context, whole, strict=False)
    shorter = min(len(context), len(whole))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
