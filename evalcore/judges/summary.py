"""What a judging job found, summed up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evalcore.judges.ledger import Tally
from evalcore.judges.merging import Outcome, Status
from evalcore.judges.records import Judge
from evalcore.records import Estimate, EvalRun, RaterKind
from evalcore.stats.intervals import mean_estimate
from evalcore.stats.win_rate import PairVotes, win_rate

__all__ = ["JudgeSummary", "JudgingResult", "PairSummary", "pair_summaries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSummary:
    """What a judge was asked, and what that took."""

    judge: str
    kind: RaterKind
    tally: Tally
    """All replies that the job needs, earlier ones included."""
    n_asked: int
    """Calls made this time."""
    spent_usd: float
    """What these cost, as far as prices are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSummary:
    """What a judge says of two models."""

    rater: str
    model_a: str
    model_b: str
    wins: int
    ties: int
    losses: int
    n_disagreed: int
    """Pairs of answers whose two orders have different winners; of a jury, whose members have."""
    n_unresolved: int
    """Those of them that were left without a winner."""
    n_settled: int
    """Pairs of equal answers, ties without a call."""
    n_unscored: int
    """Pairs with a reply that could not be read, or without one."""
    win_rate: Estimate
    """Of ``model_a``; ties count half, examples are clusters."""
    preference: Estimate
    """Mean of what the judge's verdicts are worth, from 0 to 1, orders averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingResult:
    """What a judging job found, and what is missing."""

    judges: tuple[JudgeSummary, ...]
    pairs: tuple[PairSummary, ...]
    runs: tuple[EvalRun, ...]
    """Of single answers: by judge and model."""
    warnings: tuple[str, ...]
    problems: tuple[str, ...]
    """Why something could not be judged; empty if all is."""


def pair_summaries(judge: Judge, outcomes: Sequence[Outcome]) -> Iterator[PairSummary]:
    """Sum a judge's outcomes up, by pair of models in the order of their first appearance."""
    by_pair: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        pair = outcome.answer_a.fingerprint, outcome.answer_b.fingerprint
        by_pair.setdefault(pair, []).append(outcome)
    for (model_a, model_b), some in by_pair.items():
        yield _summary(judge, model_a, model_b, some)


def _summary(judge: Judge, model_a: str, model_b: str, outcomes: Sequence[Outcome]) -> PairSummary:
    won = [outcome for outcome in outcomes if outcome.winner is not None]
    examples = np.unique([outcome.example_id for outcome in won], return_inverse=True)[1]
    rate = win_rate(
        PairVotes(scores=np.array([outcome.score for outcome in won]), examples=examples)
    )
    n_left_out = len(outcomes) - len(won)
    preference = mean_estimate(
        [outcome.value for outcome in outcomes],
        groups=[outcome.example_id for outcome in outcomes],
        bounds=(0.0, 1.0),
    )

    def count(status: Status) -> int:
        return sum(outcome.status == status for outcome in outcomes)

    return PairSummary(
        rater=judge.name,
        model_a=model_a,
        model_b=model_b,
        wins=rate.wins,
        ties=rate.ties,
        losses=rate.losses,
        n_disagreed=count("disagreed"),
        n_unresolved=n_left_out - count("unscored"),
        n_settled=count("settled"),
        n_unscored=count("unscored"),
        win_rate=replace(rate.estimate, n_unscored=n_left_out),
        preference=preference,
    )
