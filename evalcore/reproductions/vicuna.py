"""Vicuna (March 2023): GPT-4's marks of 80 answers each against four models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalcore.judges.foreign import read_foreign
from evalcore.judges.foreign.totals import mark_totals
from evalcore.reproductions.data import found_file
from evalcore.reproductions.pairs import clustered_win_rate, parity_findings, percent
from evalcore.reproductions.records import Book, Finding, against, in_words, left_out, p_words
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.stats.paired import paired_difference, sign_test

__all__ = ["reproduce_vicuna"]

_TOTALS = {
    "llama-13b": ("LLaMA-13B", "513.0", "694.0"),
    "alpaca-13b": ("Alpaca-13B", "583.0", "704.0"),
    "bard": ("Bard", "664.0", "655.5"),
    "gpt35": ("ChatGPT", "693.0", "638.0"),
}
"""Name, the other's total and Vicuna's, by how the files call the other."""
_WHAT = "they are in FastChat's repository under fastchat/eval/table/review"


def reproduce_vicuna(data: Path) -> Book:
    """Compute the blog's totals and shares, and what it left out.

    Raises
    ------
    InputError
        If a file of reviews is missing or isn't one.
    """
    findings: list[Finding] = []
    for other, (name, theirs, ours) in _TOTALS.items():
        file = found_file(data, f"review_{other}_vicuna-13b.jsonl", what=_WHAT)
        verdicts = read_foreign("fastchat", file).verdicts
        (totals,) = mark_totals(verdicts)
        marks = [verdict.marks for verdict in verdicts if verdict.marks is not None]
        table = f"against {name}"
        findings += [
            against(table, f"total marks of {name}", theirs, totals.total_a),
            against(table, "total marks of Vicuna-13B", ours, totals.total_b),
            *_shares(table, other, np.array(marks, float)),
            *_not_published(table, np.array(marks, float), [v.example.id for v in verdicts]),
        ]
    return Book(
        study="vicuna",
        title="Vicuna-13B against four models, marked by GPT-4",
        source="LMSYS blog, 30 March 2023, table 2 and text",
        findings=tuple(findings),
        remarks=(
            "Vicuna's answer was always shown second: a judge's bias for a place can't be told "
            "from a better answer, and no number here is free of it.",
            "Each prompt was judged once, by one judge: intervals are for other prompts of this "
            "kind, and say nothing of another judge.",
        ),
    )


def _shares(table: str, other: str, marks: NDArray[np.float64]) -> Iterator[Finding]:
    baseline, vicuna = marks.T
    if other == "gpt35":
        ratio = mean_estimate(vicuna / baseline, weights=baseline)
        yield against(table, "Vicuna's total, % of ChatGPT's", "92 %", percent(ratio))
        no_worse = proportion_estimate((vicuna >= baseline).astype(float))
        yield against(table, "prompts with Vicuna no worse, %", "45 %", percent(no_worse))
    elif other in ("llama-13b", "alpaca-13b"):
        better = proportion_estimate((vicuna > baseline).astype(float))
        yield Finding(
            table=table,
            quantity="prompts with Vicuna better, %",
            published="more than 90 %",
            computed=in_words(percent(better), digits=1),
            outcome="exact" if better.value > 0.9 else "differs",
            estimate=percent(better),
        )


def _not_published(
    table: str,
    marks: NDArray[np.float64],
    prompts: list[str],
) -> Iterator[Finding]:
    baseline, vicuna = marks.T
    difference = paired_difference(vicuna, baseline)
    yield left_out(table, "mean difference of marks", difference.difference, digits=2)
    yield left_out(table, "sign test of a difference", p_words(sign_test(vicuna - baseline)))
    scores = np.where(vicuna == baseline, 0.5, (vicuna > baseline).astype(float))
    yield from parity_findings(table, "Vicuna-13B", clustered_win_rate(scores, prompts))
