"""PandaLM (Wang et al. 2023): three people and GPT-3.5 on 999 pairs of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.exchange.rows import read_rows
from evalcore.records import Estimate
from evalcore.reproductions.data import found_file
from evalcore.reproductions.pairs import clustered_win_rate, parity_findings, percent
from evalcore.reproductions.records import Book, Finding, against, left_out
from evalcore.stats.agreement import cohen_kappa, raw_agreement

__all__ = ["reproduce_pandalm"]

_WHAT = "they are in PandaLM's repository under data"
_KAPPAS = (((0, 1), "0.85"), ((0, 2), "0.88"), ((1, 2), "0.86"))
_MAJORITY = ("105", "422", "472")
_JUDGE = (
    ("accuracy", "71.07"),
    ("macro precision", "58.79"),
    ("macro recall", "57.36"),
    ("macro F1", "57.55"),
)
_GAMES = {
    ("llama-7b", "bloom-7b"): (72, 28, 11),
    ("llama-7b", "cerebras-gpt-6.7B"): (80, 24, 6),
    ("llama-7b", "opt-7b"): (71, 24, 11),
    ("llama-7b", "pythia-6.9b"): (58, 27, 9),
    ("pythia-6.9b", "cerebras-gpt-6.7B"): (53, 27, 11),
}
"""Won, lost and tied by the first, by the majority of people."""


def reproduce_pandalm(data: Path) -> Book:
    """Compute the agreement, the judge's accuracy and the games, and what was left out.

    Raises
    ------
    InputError
        If the test set or GPT-3.5's verdicts are missing or are something else.
    """
    rows = [_checked(row) for row in read_rows(_file(data, "testset-v1.json"))]
    said = {
        row.text("idx"): str(row.fields.get("gpt_result"))
        for row in read_rows(_file(data, "gpt-3.5-turbo-testset-v1.json"))
    }
    labels = np.array([[int(row[f"annotator{k}"]) for row in rows] for k in (1, 2, 3)])
    majority = np.array([np.bincount(column, minlength=3).argmax() for column in labels.T])
    verdicts = [said.get(str(row["idx"]), "") for row in rows]
    return Book(
        study="pandalm",
        title="PandaLM's test set: three people and GPT-3.5 on five models' answers",
        source="PandaLM, README of its repository, and Wang et al. (2023), arXiv 2306.05087",
        findings=(
            *_people(labels, majority),
            *_judge(majority, verdicts),
            *_games(rows, majority),
        ),
        remarks=(
            "The published accuracy counts verdicts that can't be read as ties.",
            "Each pair was shown to GPT-3.5 in one order; its bias for a place can't be told.",
        ),
    )


def _file(data: Path, name: str) -> Path:
    return found_file(data, name, what=_WHAT)


def _checked(row: Any) -> dict[str, Any]:
    row.needs("idx", "cmp_key", "instruction", "annotator1", "annotator2", "annotator3")
    return dict(row.fields)


def _people(labels: NDArray[np.int64], majority: NDArray[np.int64]) -> Iterator[Finding]:
    table = "people's labels"
    for (one, other), published in _KAPPAS:
        kappa = cohen_kappa(labels[one], labels[other])
        yield against(table, f"Cohen's kappa, people {one + 1} and {other + 1}", published, kappa)
    for label, (published, count) in enumerate(
        zip(_MAJORITY, np.bincount(majority, minlength=3), strict=True)
    ):
        name = ("ties", "first answer", "second answer")[label]
        yield against(table, f"majority for: {name}", published, float(count))


def _judge(majority: NDArray[np.int64], verdicts: Sequence[str]) -> Iterator[Finding]:
    table = "GPT-3.5 against the majority, %"
    known = {"1": 1, "2": 2, "Tie": 0}
    as_ties = np.array([known.get(verdict, 0) for verdict in verdicts])
    n_unread = sum(verdict not in known for verdict in verdicts)
    accuracy = percent(raw_agreement(as_ties, majority))
    values: list[Estimate | float] = [accuracy, *_macro(as_ties, majority)]
    for (name, published), value in zip(_JUDGE, values, strict=True):
        note = f"{n_unread} verdicts that can't be read count as ties" if name == "accuracy" else ""
        yield against(table, name, published, value, note=note)
    strict = np.array([known.get(verdict, -1) for verdict in verdicts])
    yield left_out(
        table,
        "accuracy, verdicts that can't be read counting as wrong",
        percent(raw_agreement(strict, majority)),
        digits=2,
    )


def _macro(said: NDArray[np.int64], right: NDArray[np.int64]) -> list[float]:
    """Return mean precision, recall and F1 over the three labels, in per cent."""
    hits = np.array([np.sum((said == k) & (right == k)) for k in range(3)])
    precision = hits / np.bincount(said, minlength=3)
    recall = hits / np.bincount(right, minlength=3)
    f1 = 2 * precision * recall / (precision + recall)
    return [float(100 * part.mean()) for part in (precision, recall, f1)]


def _games(rows: Sequence[dict[str, Any]], majority: NDArray[np.int64]) -> Iterator[Finding]:
    for (one, other), (won, lost, tied) in _GAMES.items():
        scores, prompts = [], []
        for row, label in zip(rows, majority.tolist(), strict=True):
            if set(row["cmp_key"].split("_")) == {one, other}:
                first = row["cmp_key"].split("_")[0] == one
                scores.append(0.5 if label == 0 else float((label == 1) == first))
                prompts.append(f"{row['instruction']}\n{row.get('input') or ''}")
        rate = clustered_win_rate(scores, prompts)
        computed = (rate.wins, rate.losses, rate.ties)
        table = f"{one} against {other}"
        yield Finding(
            table=table,
            quantity="won, lost, tied",
            published=f"{won}, {lost}, {tied}",
            computed=", ".join(map(str, computed)),
            outcome="exact" if computed == (won, lost, tied) else "differs",
        )
        yield from parity_findings(table, one, rate)
