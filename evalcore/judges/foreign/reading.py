"""Formats of foreign verdicts by name, and what a reader has to know of a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from evalcore.errors import VotesError
from evalcore.judges.foreign.alpaca_eval import read_alpaca_eval
from evalcore.judges.foreign.fastchat import read_fastchat
from evalcore.judges.foreign.pandalm import read_pandalm
from evalcore.judges.foreign.records import ForeignFile, ForeignVerdict
from evalcore.records import Example

__all__ = ["FORMATS", "foreign_file", "read_foreign"]

FORMATS: Mapping[str, Callable[[Path, Sequence[Example]], list[ForeignVerdict]]] = {
    "alpaca_eval": read_alpaca_eval,
    "fastchat": read_fastchat,
    "pandalm": read_pandalm,
}
_SHOWN_LINES = 5


def read_foreign(form: str, path: Path, *, prompts: Sequence[Example] = ()) -> ForeignFile:
    """Read verdicts that another tool wrote.

    Parameters
    ----------
    form
        A name of :data:`FORMATS`.
    path
        The file.
    prompts
        Prompts that the verdicts are on, for files that name them by id only.

    Raises
    ------
    InputError
        For an unknown format, and for a file that can't be read or isn't of that format.
    """
    if form not in FORMATS:
        raise VotesError(f"--reuse-from must be one of {', '.join(FORMATS)}; got {form!r:.80}")
    return foreign_file(form, path, FORMATS[form](path, prompts))


def foreign_file(form: str, path: Path, verdicts: Sequence[ForeignVerdict]) -> ForeignFile:
    """Put a file's verdicts together with what a reader has to know of them.

    Raises
    ------
    VotesError
        If there are none.
    """
    if not verdicts:
        raise VotesError(f"{path}: holds no verdicts")
    return ForeignFile(
        source=str(path),
        format=form,
        verdicts=tuple(verdicts),
        warnings=tuple(_warnings(verdicts)),
    )


def _warnings(verdicts: Sequence[ForeignVerdict]) -> Iterator[str]:
    yield from _one_order(verdicts)
    disagreeing = sum(verdict.orders_disagree for verdict in verdicts)
    if disagreeing:
        merged = sum(verdict.shown == "both_orders" for verdict in verdicts)
        yield (
            f"{disagreeing} of {merged} verdicts in both orders disagree "
            f"({100 * disagreeing / merged:.1f} %) and count as ties"
        )
    unscored = [verdict for verdict in verdicts if verdict.winner is None]
    if unscored:
        yield (
            f"{len(unscored)} of {len(verdicts)} verdicts could not be read and are unscored "
            f"(first: {_lines(unscored)})"
        )
    differing = [verdict for verdict in verdicts if verdict.stored_differs]
    if differing:
        yield (
            f"{len(differing)} of {len(verdicts)} verdicts are stored otherwise than the judge "
            f"wrote them; what is stored counts ({_lines(differing)})"
        )


def _one_order(verdicts: Sequence[ForeignVerdict]) -> Iterator[str]:
    """Warn where a judge's verdicts on two models all come from one order of the answers."""
    shown: Counter[tuple[str, str, str]] = Counter()
    for verdict in verdicts:
        if verdict.shown in ("a_first", "b_first"):
            pair = (verdict.model_a, verdict.model_b)
            first, second = pair if verdict.shown == "a_first" else pair[::-1]
            shown[verdict.rater, first, second] += 1
    one = [(f, s, n) for (r, f, s), n in shown.items() if (r, s, f) not in shown]
    pairs: Counter[tuple[str, str]] = Counter()
    for first, second, count in one:
        pairs[first, second] += count
    for (first, second), count in list(pairs.items())[:_SHOWN_LINES]:
        yield (
            f"one order only: {first} was shown first and {second} second in all {count} verdicts, "
            "so that the judge's bias for a place can't be told from a better answer"
        )
    if len(pairs) > _SHOWN_LINES:
        yield f"one order only: more such pairs of models, {len(pairs) - _SHOWN_LINES}"


def _lines(verdicts: Sequence[ForeignVerdict]) -> str:
    lines = ", ".join(f"line {verdict.line}" for verdict in verdicts[:_SHOWN_LINES])
    return f"{lines}, …" if len(verdicts) > _SHOWN_LINES else lines
