"""Open Assistant (April 2023): what two published shares alone imply."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evalcore.reproductions.pairs import percent
from evalcore.reproductions.records import Book, Finding, left_out, lost, p_words
from evalcore.stats.parity import parity_test
from evalcore.stats.planning import VoteModel, votes_needed
from evalcore.stats.win_rate import PairVotes, win_rate

__all__ = ["reproduce_open_assistant"]

_SHARE = 0.483
_NUMBERS = (500, 1000, 2000, 5000, 7042)
"""Votes to try; the last is a number that is told of the study and not in its abstract."""
_MARGINS = (0.03, 0.05)


def reproduce_open_assistant(_data: Path) -> Book:
    """Say what 48.3 % of N votes would show, for several N; no file is read.

    Raises
    ------
    InputError
        Never: there is nothing to read.
    """
    return Book(
        study="open_assistant",
        title="Open Assistant's pythia-12b against gpt-3.5-turbo, by volunteers' votes",
        source="Köpf et al. (2023), arXiv 2304.07327, abstract of version 1",
        findings=(
            lost(
                "published",
                "preferred: pythia-12b, %",
                "48.3 %",
                note="the votes were never released",
            ),
            lost(
                "published",
                "preferred: gpt-3.5-turbo, %",
                "51.7 %",
                note="the claim is not in the abstract of version 2",
            ),
            *_implied(),
            *_needed(),
        ),
        remarks=(
            "The votes were never released, and the abstract gives no number of them: what follows "
            "is what the published shares would imply for a number of independent votes, and is no "
            "reproduction.",
            "7,042 votes with an interval of ±1.37 points are told elsewhere, which don't fit: so "
            "many independent votes give ±1.17.",
            "Votes on few prompts, or by few raters, are worth fewer than their number: read the "
            "line of that number.",
        ),
    )


def _implied() -> Iterator[Finding]:
    for n in _NUMBERS:
        won = round(_SHARE * n)
        rate = win_rate(PairVotes(scores=np.repeat([1.0, 0.0], [won, n - won])))
        table = f"if there were {n} independent votes"
        yield left_out(table, "win rate of pythia-12b, %", percent(rate.estimate), digits=2)
        test = parity_test(rate, margin=_MARGINS[0])
        yield left_out(table, "two-sided test of a difference", p_words(test.p_difference))
        for margin in _MARGINS:
            test = parity_test(rate, margin=margin)
            yield left_out(
                table,
                f"two one-sided tests of parity within ±{100 * margin:g} points",
                p_words(test.p_parity),
                note=test.words,
            )


def _needed() -> Iterator[Finding]:
    for margin in _MARGINS:
        for rate in (0.5, _SHARE):
            needed = votes_needed(VoteModel(win_rate=rate), margin=margin)
            yield left_out(
                "votes needed to show parity with a power of 80 %",
                f"within ±{100 * margin:g} points if the true share is {100 * rate:.1f} %",
                "no number suffices" if needed is None else f"{needed}",
            )
