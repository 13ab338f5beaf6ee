"""Where a context ends in a text that was tokenised as a whole."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["boundary", "divided"]


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


def divided(
    context: Sequence[int], whole: Sequence[int], *, harness_rules: bool
) -> tuple[list[int], list[int]]:
    """Divide the tokens of a whole text into those that are read and those that are scored.

    Parameters
    ----------
    context
        Tokens of the context alone, its white space at the end left out.
    whole
        Tokens of context and continuation.
    harness_rules
        Whether the context alone is read, as lm-evaluation-harness does: where a merge across the
        boundary leaves their number as it was, the two differ.
    """
    cut = boundary(context, whole)
    read = context if harness_rules and cut == len(context) else whole[:cut]
    return list(read), list(whole[cut:])
