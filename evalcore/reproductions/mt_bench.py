"""MT-bench (Zheng et al. 2023): people and GPT-4 on pairs of six models' answers, turn 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.exchange.rows import read_rows
from evalcore.reproductions.data import found_file
from evalcore.reproductions.pairs import clustered_win_rate, parity_findings, percent
from evalcore.reproductions.records import Book, Finding, against, left_out
from evalcore.stats.agreement import cohen_kappa, raw_agreement
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.stats.labels import Labels, pair_labels
from evalcore.stats.ratings import rate_votes
from evalcore.votes import Votes

__all__ = ["reproduce_mt_bench"]

_WHAT = "they are the splits human and gpt4_pair of lmsys/mt_bench_human_judgments"
_JUDGE = "gpt4_pair"
_AGREEMENT = (
    ("GPT-4 and experts, all votes", "expert", _JUDGE, False, "66 %"),
    ("GPT-4 and experts, neither a tie", "expert", _JUDGE, True, "85 %"),
    ("experts among each other, all votes", "expert", "expert", False, "63 %"),
    ("experts among each other, neither a tie", "expert", "expert", True, "81 %"),
    ("GPT-4 and authors, all votes", "author", _JUDGE, False, ""),
    ("GPT-4 and authors, neither a tie", "author", _JUDGE, True, ""),
    ("experts and authors, all votes", "expert", "author", False, ""),
    ("experts and authors, neither a tie", "expert", "author", True, ""),
)


def reproduce_mt_bench(data: Path) -> Book:
    """Compute the paper's agreement of turn 1, and what it left out.

    Raises
    ------
    InputError
        If a file of votes is missing or isn't one.
    """
    people = _rows(found_file(data, "human.jsonl", "human-*.parquet", what=_WHAT))
    judge = _rows(found_file(data, "gpt4_pair.jsonl", "gpt4_pair-*.parquet", what=_WHAT))
    votes = _votes(people + judge)
    return Book(
        study="mt_bench",
        title="MT-bench, turn 1: people and GPT-4 on pairs of answers",
        source="Zheng et al. (2023), arXiv 2306.05685, table 5",
        findings=(
            *_agreements(Labels.from_votes(votes)),
            *_orders(judge),
            *_win_rates(people, judge),
            *_spread(people, judge),
            *_parity(people),
        ),
        remarks=(
            "GPT-4 read each pair in both orders; where the orders disagree the verdict is a tie. "
            "People saw one order, which the data don't have.",
            "Of a person's votes on one question and pair of models the first one counts.",
            "Intervals are for other questions of this kind: votes on one question depend on each "
            "other.",
        ),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    found = []
    for row in read_rows(path):
        row.needs("judge", "model_a", "model_b", "question_id", "winner")
        if row.fields.get("turn", 1) in (1, "1", None):
            found.append(dict(row.fields))
    return found


def _votes(rows: Sequence[dict[str, Any]]) -> Votes:
    return Votes.from_columns(
        {
            "model_a": [row["model_a"] for row in rows],
            "model_b": [row["model_b"] for row in rows],
            "winner": ["tie" if "tie" in row["winner"] else row["winner"] for row in rows],
            "rater": [str(row["judge"]) for row in rows],
            "example_id": [str(row["question_id"]) for row in rows],
        }
    )


def _agreements(given: Labels) -> Iterator[Finding]:
    names = sorted(set(given.raters.tolist()))
    groups = {kind: [name for name in names if name.startswith(kind)] for kind in _KINDS}
    for quantity, one, other, decided, published in _AGREEMENT:
        second = None if one == other else groups[other]
        first_labels, second_labels, units = pair_labels(given, groups[one], second)
        if decided:
            kept = (first_labels != "tie") & (second_labels != "tie")
            first_labels, second_labels = first_labels[kept], second_labels[kept]
            units = units[kept]
        share = percent(raw_agreement(first_labels, second_labels, groups=_questions(units)))
        table = "agreement, %"
        if published:
            yield against(table, quantity, published, share)
        else:
            yield left_out(table, quantity, share)
    people = groups["expert"] + groups["author"]
    human, judge, units = pair_labels(given, people, groups[_JUDGE])
    kappa = cohen_kappa(human, judge, symmetric=True, groups=_questions(units))
    yield left_out(
        "agreement, %",
        "Cohen's kappa of people and GPT-4, whichever model is called A",
        kappa,
        digits=3,
    )


_KINDS = ("expert", "author", _JUDGE)


def _questions(units: NDArray[Any]) -> NDArray[Any]:
    """Return the question of each unit, which is a question and a pair of models."""
    return np.array([str(unit[0]) if isinstance(unit, tuple) else str(unit) for unit in units])


def _orders(judge: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    differing = [float(row["winner"] == "tie (inconsistent)") for row in judge]
    questions = [str(row["question_id"]) for row in judge]
    share = percent(proportion_estimate(differing, groups=questions))
    count = int(sum(differing))
    yield left_out(
        "order of the answers",
        "GPT-4's verdicts that change with the order, %",
        share,
        note=f"{count} of {len(judge)} pairs",
    )


def _scores(rows: Sequence[dict[str, Any]], model: str) -> tuple[list[float], list[str]]:
    """Return a model's scores, a tie one half, and the questions."""
    scores, questions = [], []
    for row in rows:
        if model in (row["model_a"], row["model_b"]):
            won = row["model_a" if row["winner"] == "model_a" else "model_b"] == model
            scores.append(0.5 if "tie" in row["winner"] else float(won))
            questions.append(str(row["question_id"]))
    return scores, questions


def _win_rates(
    people: Sequence[dict[str, Any]], judge: Sequence[dict[str, Any]]
) -> Iterator[Finding]:
    for model in sorted({row[side] for row in people for side in ("model_a", "model_b")}):
        for who, rows in (("people", people), ("GPT-4", judge)):
            scores, questions = _scores(rows, model)
            rate = percent(mean_estimate(scores, groups=questions, bounds=(0.0, 1.0)))
            yield left_out("win rate over all pairs, %", f"{model}, by {who}", rate)


def _spread(people: Sequence[dict[str, Any]], judge: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    for who, rows in (("people", people), ("GPT-4", judge)):
        ratings = rate_votes(_votes(rows)).ratings
        yield left_out(
            "Bradley–Terry ratings",
            f"best minus worst model, by {who}, Elo points",
            f"{float(np.ptp(ratings)):.0f}",
            note="a judge exaggerates gaps: its ratings and people's are not on one scale",
        )


def _parity(people: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Test the two pairs that people's votes tell apart least."""
    models = sorted({row[side] for row in people for side in ("model_a", "model_b")})
    rates = {}
    for one, other in combinations(models, 2):
        rows = [row for row in people if {row["model_a"], row["model_b"]} == {one, other}]
        scores, questions = _scores(rows, one)
        raters = [str(row["judge"]) for row in rows]
        rates[one, other] = clustered_win_rate(scores, questions, raters)
    closest = sorted(rates, key=lambda pair: abs(rates[pair].estimate.value - 0.5))[:2]
    for one, other in closest:
        yield from parity_findings(
            "parity by people's votes", f"{one} against {other}", rates[one, other]
        )
