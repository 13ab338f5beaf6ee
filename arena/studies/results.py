"""What a set of votes says of a study's models: numbers with intervals, clustered both ways."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arena.quality import labels_of
from arena.recorded import RecordedVote
from arena.studies.definition import StudyDefinition
from evalcore.records import Comparison, Estimate
from evalcore.stats.agreement import fleiss_kappa, krippendorff_alpha
from evalcore.stats.clustering import cluster_variance, group_codes
from evalcore.stats.interval_agreement import interval_alpha
from evalcore.stats.intervals import (
    mean_estimate,
    proportion_estimate,
    share_interval,
    unanimous_interval,
)
from evalcore.stats.labels import Labels
from evalcore.stats.parity import ParityTest, parity_test
from evalcore.stats.win_rate import PairVotes, WinRate, win_rate
from evalcore.votes.columns import OUTCOME_SCORES, WINNERS

__all__ = [
    "Agreement",
    "MeanDifference",
    "ModelMean",
    "PairResult",
    "StudyResult",
    "position_counts",
    "study_result",
]

_RANK = "rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairResult:
    """Two models compared."""

    model_a: str
    model_b: str
    win_rate: WinRate
    """Of model A, a tie counting half; clustered by rater and example."""
    test: ParityTest


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMean:
    """A model's mean rank, or mean on a scale."""

    model: str
    scale: str
    """The scale's name, or ``rank``."""
    mean: Estimate
    """Clustered by rater and example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanDifference:
    """How far two models' means are from each other."""

    model_a: str
    model_b: str
    scale: str
    difference: Estimate
    """A minus B: mean over the examples that both were rated on, each example's mean once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far raters agree beyond chance."""

    of: str
    """``choices``, or a scale."""
    fleiss: Estimate | None
    """None for scales."""
    alpha: Estimate
    """Krippendorff's, nominal for choices and interval for scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """Everything that some of a study's votes say."""

    n_votes: int
    n_raters: int
    n_items: int
    """Items with any of these votes."""
    pairs: tuple[PairResult, ...]
    """Every pair of models; of a rating study none."""
    means: tuple[ModelMean, ...]
    """Ranks of a ranking study, scales of a rating study; best first within a scale."""
    differences: tuple[MeanDifference, ...]
    agreement: tuple[Agreement, ...]
    left: Estimate | None
    """Share of the answers preferred to another one that stood left of it."""


def study_result(
    definition: StudyDefinition, votes: Iterable[RecordedVote], names: Mapping[str, str]
) -> StudyResult:
    """Sum up votes on main items.

    Parameters
    ----------
    definition
        The study.
    votes
        Those that count are taken, others passed over; none gives nan with the widest intervals.
    names
        Name by model.
    """
    counted = [vote for vote in votes if vote.counts]
    comparisons = [said for vote in counted for said in vote.comparisons()]
    return StudyResult(
        n_votes=len(counted),
        n_raters=len({vote.rater for vote in counted}),
        n_items=len({vote.battle.item for vote in counted}),
        pairs=tuple(_pairs(definition, comparisons, names)),
        means=tuple(_means(definition, counted, names)),
        differences=tuple(_differences(definition, counted, names)),
        agreement=tuple(_agreement(definition, counted)),
        left=_left(comparisons),
    )


def _pairs(
    definition: StudyDefinition, comparisons: Sequence[Comparison], names: Mapping[str, str]
) -> Iterable[PairResult]:
    if definition.kind == "rating":
        return
    models = list(names)
    for place, first in enumerate(models):
        for second in models[place + 1 :]:
            found = [
                said for said in comparisons if {said.model_a, said.model_b} == {first, second}
            ]
            rate = win_rate(_pair_votes(found, first))
            test = parity_test(rate, margin=definition.margin)
            yield PairResult(model_a=names[first], model_b=names[second], win_rate=rate, test=test)


def _pair_votes(comparisons: Sequence[Comparison], first: str) -> PairVotes:
    score_of_a = np.array([OUTCOME_SCORES[WINNERS.index(c.winner)] for c in comparisons])
    is_a = np.array([said.model_a == first for said in comparisons], dtype=bool)
    return PairVotes(
        scores=np.where(is_a, score_of_a, 1.0 - score_of_a),
        raters=_codes(said.rater for said in comparisons),
        examples=_codes(said.example_id for said in comparisons),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Values:
    """What raters gave one model on one scale."""

    values: NDArray[np.float64]
    raters: tuple[str, ...]
    examples: tuple[str, ...]


def _values(votes: Sequence[RecordedVote]) -> dict[tuple[str, str], _Values]:
    """Values by scale and model; the rank is a scale."""
    found: dict[tuple[str, str], list[tuple[float, str, str]]] = defaultdict(list)
    for vote in votes:
        where = vote.rater, vote.battle.example_id
        for model, rank in vote.ranks.items():
            found[_RANK, model].append((rank, *where))
        for model, by_scale in vote.values.items():
            for scale, value in by_scale.items():
                found[scale, model].append((value, *where))
    return {
        key: _Values(
            values=np.array([value for value, _, _ in rows]),
            raters=tuple(rater for _, rater, _ in rows),
            examples=tuple(example for _, _, example in rows),
        )
        for key, rows in found.items()
    }


def _means(
    definition: StudyDefinition, votes: Sequence[RecordedVote], names: Mapping[str, str]
) -> Iterable[ModelMean]:
    found = _values(votes)
    for scale, bounds in _bounds(definition).items():
        means = [
            ModelMean(model=names[model], scale=scale, mean=_crossed_mean(given, bounds))
            for (of, model), given in found.items()
            if of == scale
        ]
        yield from sorted(means, key=lambda m: m.mean.value * (1.0 if scale == _RANK else -1.0))


def _differences(
    definition: StudyDefinition, votes: Sequence[RecordedVote], names: Mapping[str, str]
) -> Iterable[MeanDifference]:
    found = _values(votes)
    models = list(names)
    for scale, (low, high) in _bounds(definition).items():
        by_example = {m: _example_means(found[scale, m]) for m in models if (scale, m) in found}
        for place, first in enumerate(models):
            for second in models[place + 1 :]:
                one, other = by_example.get(first, {}), by_example.get(second, {})
                paired = [one[example] - other[example] for example in one if example in other]
                yield MeanDifference(
                    model_a=names[first],
                    model_b=names[second],
                    scale=scale,
                    difference=mean_estimate(paired, bounds=(low - high, high - low)),
                )


def _bounds(definition: StudyDefinition) -> dict[str, tuple[float, float]]:
    match definition.kind:
        case "pairwise":
            return {}
        case "ranking":
            return {_RANK: (1.0, float(len(definition.models)))}
        case "rating":
            scales = {
                scale.name: (float(scale.low), float(scale.high)) for scale in definition.scales
            }
            return scales | dict.fromkeys(definition.labels, (0.0, 1.0))


def _example_means(given: _Values) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for example, value in zip(given.examples, given.values.tolist(), strict=True):
        found[example].append(value)
    return {example: float(np.mean(values)) for example, values in found.items()}


def _crossed_mean(given: _Values, bounds: tuple[float, float]) -> Estimate:
    """Estimate a mean whose values depend on each other by rater and by example."""
    low, width = bounds[0], bounds[1] - bounds[0]
    shares = (given.values - low) / width
    groupings = [
        group_codes(labels)
        for labels in (given.raters, given.examples)
        if 1 < len(set(labels)) < len(labels)
    ]
    spread = cluster_variance(shares, groupings=groupings)
    mean = float(shares.mean())
    if spread.variance > 0.0:
        ends = share_interval(mean, spread.variance, df=spread.df)
    else:
        ends = unanimous_interval(mean, spread.n_effective, bounds=(0.0, 1.0))
    return Estimate(
        value=low + width * mean,
        low=low + width * ends[0],
        high=low + width * ends[1],
        confidence_level=0.95,
        method="score interval, clustered by rater and example",
        n=len(shares),
    )


def _agreement(definition: StudyDefinition, votes: Sequence[RecordedVote]) -> Iterable[Agreement]:
    if definition.kind != "rating":
        labels = labels_of(vote.cast() for vote in votes)
        yield Agreement(
            of="choices",
            fleiss=fleiss_kappa(labels, symmetric=True),
            alpha=krippendorff_alpha(labels, symmetric=True),
        )
        return
    for scale in _bounds(definition):
        rows = [
            (f"{vote.battle.item} {model}", vote.rater, values[scale])
            for vote in votes
            for model, values in vote.values.items()
            if scale in values
        ]
        units, raters, values = (np.array([row[column] for row in rows]) for column in range(3))
        labels = Labels(units=units, raters=raters, labels=values)
        yield Agreement(of=scale, fleiss=None, alpha=interval_alpha(labels))


def _left(comparisons: Sequence[Comparison]) -> Estimate | None:
    """Share of preferred answers that stood left of the other; one half without a preference."""
    decisive = [said for said in comparisons if said.winner in ("model_a", "model_b")]
    if not decisive:
        return None
    marks = [float((said.winner == "model_a") != said.swapped) for said in decisive]
    return proportion_estimate(marks, groups=[said.rater for said in decisive])


def _codes(labels: Iterable[str]) -> NDArray[np.int64]:
    names = list(labels)
    return group_codes(np.array(names)).astype(np.int64) if names else np.zeros(0, np.int64)


def position_counts(
    votes: Iterable[RecordedVote], names: Mapping[str, str]
) -> dict[str, list[int]]:
    """Count by model's name how often its answer stood on each place, from the left."""
    found: dict[str, Counter[int]] = {name: Counter() for name in names.values()}
    for vote in votes:
        if vote.is_main:
            for place, model in enumerate(vote.battle.shown_models):
                found[names[model]][place] += 1
    n_places = max((place + 1 for counts in found.values() for place in counts), default=0)
    return {name: [counts[place] for place in range(n_places)] for name, counts in found.items()}
