"""All that can be said of a judge, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from evalcore.judges.attacks import AnswerCheck
from evalcore.judges.bias.agreement import Agreements, agreement_with_people
from evalcore.judges.bias.calibration import Calibration, calibration
from evalcore.judges.bias.contests import JudgedContest, judged_contests
from evalcore.judges.bias.evidence import Evidence
from evalcore.judges.bias.pairs import JudgedPairs
from evalcore.judges.bias.position import (
    Consistency,
    consistency,
    one_order_pairs,
    position_bias,
)
from evalcore.judges.bias.self_preference import SelfPreference, self_preference
from evalcore.judges.bias.style import LongerWins, StyleEffect, longer_wins, style_effects
from evalcore.judges.bias.ties import Ties, tie_shares
from evalcore.judges.foreign.importing import ORDERS_AGREE, ORDERS_DISAGREE
from evalcore.records import Estimate
from evalcore.stats.intervals import proportion_estimate
from evalcore.stats.labels import Labels
from evalcore.votes import Votes

__all__ = ["BiasReport", "bias_report"]

_MOST_PAIRS_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReport:
    """What a judge's verdicts on pairs of answers are worth."""

    judge: str
    prompt_versions: tuple[str, ...]
    n_verdicts: int
    """Verdicts on pairs, one for each order; merged ones count once."""
    n_unscored: int
    """Of them, those that could not be read."""
    n_votes: int
    """People's votes on answers that the judge saw."""
    cost_usd: float | None
    """None where no cost is known."""
    position: Estimate
    """Added to the win rate by the first place; below 0 the second place is favoured."""
    consistency: Consistency
    styles: tuple[StyleEffect, ...]
    longer_wins: LongerWins | None
    self_preference: SelfPreference | None
    ties: Ties | None
    agreement: Agreements | None
    calibration: Calibration | None
    contests: tuple[JudgedContest, ...]
    answer_checks: Mapping[str, AnswerCheck]
    """By model."""
    warnings: tuple[str, ...]

    @property
    def flagged(self) -> tuple[str, ...]:
        """Models whose answers work on the judge."""
        return tuple(name for name, check in self.answer_checks.items() if check.is_flagged)


def bias_report(evidence: Evidence, *, level: float = 0.95) -> BiasReport:
    """Estimate a judge's biases, its agreement with people, and what both say together.

    Biases are estimated without the models that are flagged: their answers work on the judge, and
    say nothing of its taste.

    Parameters
    ----------
    evidence
        The judge's verdicts and what goes with them.
    level
        Confidence level of all intervals.

    Returns
    -------
    BiasReport
        What the evidence does not determine is nan or None, and ``warnings`` says why.
    """
    every = evidence.pairs
    checks = evidence.check()
    pairs = _without_flagged(every, checks)
    found = calibration(pairs, level=level)
    votes = _votes(evidence)
    labels = None if votes is None else Labels.from_votes(votes)
    people = sorted({item.rater for item in evidence.votes})
    return BiasReport(
        judge=evidence.judge,
        prompt_versions=tuple(sorted({item.prompt_version for item in evidence.verdicts} - {""})),
        n_verdicts=len(every),
        n_unscored=int(np.sum(~every.scored)),
        n_votes=len(evidence.votes),
        cost_usd=_cost(evidence),
        position=position_bias(pairs, level=level),
        consistency=_consistency(evidence, pairs, level=level),
        styles=style_effects(pairs, level=level),
        longer_wins=longer_wins(pairs, level=level),
        self_preference=_self_preference(evidence, pairs, level=level),
        ties=None if labels is None else tie_shares(labels, evidence.judge, people, level=level),
        agreement=None
        if labels is None
        else agreement_with_people(
            labels, evidence.judge, people, categories=_categories(evidence, votes), level=level
        ),
        calibration=found,
        contests=tuple(
            judged_contests(every, votes if evidence.votes else None, found, level=level)
        ),
        answer_checks=checks,
        warnings=tuple(_warnings(evidence, every, checks)),
    )


def _without_flagged(pairs: JudgedPairs, checks: Mapping[str, AnswerCheck]) -> JudgedPairs:
    flagged = np.array([name in checks and checks[name].is_flagged for name in pairs.models], bool)
    return pairs.take(~(flagged[pairs.a] | flagged[pairs.b])) if flagged.any() else pairs


def _votes(evidence: Evidence) -> Votes | None:
    """Put the judge's comparisons and people's votes together; None without comparisons."""
    if not evidence.comparisons:
        return None
    return Votes.from_comparisons([*evidence.comparisons, *evidence.votes])


def _categories(evidence: Evidence, votes: Votes | None) -> dict[int, str]:
    """Map the units of the labels to categories; a unit's number is made of its example's."""
    if votes is None or votes.example is None:
        return {}
    n_units_each = len(votes.models) ** 2
    of_example = [evidence.categories.get(name, "") for name in votes.example.names]
    units = np.unique(Labels.from_votes(votes).units).tolist()
    return {unit: of_example[unit // n_units_each] for unit in units}


def _cost(evidence: Evidence) -> float | None:
    records = evidence.verdicts or evidence.comparisons
    known = [item.cost_usd for item in records if item.cost_usd is not None]
    return sum(known) if known else None


def _consistency(evidence: Evidence, pairs: JudgedPairs, *, level: float) -> Consistency:
    """Count both the verdicts in two orders and those that another tool has merged."""
    own = consistency(pairs, level=level)
    merged = [
        item for item in evidence.comparisons if item.explanation in (ORDERS_AGREE, ORDERS_DISAGREE)
    ]
    if own.share.n or not merged:
        return own
    same = [float(item.explanation == ORDERS_AGREE) for item in merged]
    groups = [item.example_id for item in merged]
    return replace(
        own, share=proportion_estimate(same, groups=groups, level=level), n_merged=len(merged)
    )


def _self_preference(
    evidence: Evidence, pairs: JudgedPairs, *, level: float
) -> SelfPreference | None:
    against_people = self_preference(pairs, evidence.own, level=level)
    if against_people is not None or not evidence.others:
        return against_people
    others = pairs.with_reference(JudgedPairs.from_rows(evidence.others))
    return self_preference(others, evidence.own, compared_with="other judges", level=level)


def _warnings(
    evidence: Evidence, pairs: JudgedPairs, checks: Mapping[str, AnswerCheck]
) -> Iterator[str]:
    for name, check in checks.items():
        if check.is_flagged:
            yield f"{name} is flagged, as its answers work on the judge: {check.words}"
    one_order = one_order_pairs(pairs)
    for first, second, count in one_order[:_MOST_PAIRS_NAMED]:
        yield (
            f"one order only: {first} was shown first and {second} second in all {count} verdicts; "
            "the judge's bias for a place can't be told from a better answer"
        )
    if len(one_order) > _MOST_PAIRS_NAMED:
        yield f"one order only: more such pairs of models, {len(one_order) - _MOST_PAIRS_NAMED}"
    unscored = int(np.sum(~pairs.scored))
    if unscored:
        yield f"{unscored} of {len(pairs)} verdicts could not be read and are left out"
    if not evidence.votes:
        yield "no votes of people: effects of style hold merit and bias together"
    if not evidence.answers:
        yield "the answers are not known: nothing can be said of length, style and attacks"
    repeated = len(evidence.votes) - len(set(_voted(evidence)))
    if repeated:
        yield (
            f"{repeated} of {len(evidence.votes)} votes are a person's second one on the same "
            "answers; agreement takes the first"
        )


def _voted(evidence: Evidence) -> Iterator[tuple[str, str, frozenset[str]]]:
    for item in evidence.votes:
        yield item.rater, item.example_id, frozenset((item.model_a, item.model_b))
