"""Comparison of every two models of a column, and of the rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Estimate
from evalcore.stats.paired import (
    PairedDifference,
    holm,
    paired_difference,
    stratified_difference,
    tie_letters,
)
from evalcore.store import ScoreTable, Store
from leaderboards.records import Pair

__all__ = ["TaskValues", "compare", "compare_on_average", "letters", "mean_over_tasks"]

Stratum = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.str_] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskValues:
    """The values of one metric of one task: models x examples."""

    table: ScoreTable
    groups: NDArray[np.str_] | None
    """Labels of the clusters that examples come in, shape (n_examples,); None if they don't."""

    @classmethod
    def load(
        cls, store: Store, task_hash: str, metric: str, *, fingerprints: Sequence[str]
    ) -> TaskValues:
        """Read from the workspace."""
        examples = store.examples(task_hash)
        # An example without a group depends on no other: its id is a group of its own.
        labels = [example.group or example.id for example in examples]
        clustered = any(example.group is not None for example in examples)
        return cls(
            table=store.score_table(task_hash, metric, fingerprints),
            groups=np.array(labels) if clustered else None,
        )

    def of(self, fingerprint: str) -> NDArray[np.float64]:
        """Return a model's values, nan where there is none, shape (n_examples,)."""
        values: NDArray[np.float64] = self.table.values[self._row(fingerprint)]
        return values

    def shared_weights(self, model_a: str, model_b: str) -> NDArray[np.float64] | None:
        """Mean of both models' weights, shape (n_examples,); None if all examples weigh the same.

        The weights of two models differ if they count tokens in their own ways.
        """
        rows = [self._row(model_a), self._row(model_b)]
        weights = self.table.weights[rows].mean(axis=0)
        return None if len(np.unique(weights[weights > 0])) <= 1 else weights

    @property
    def is_plain_share(self) -> bool:
        """True if all values lie in [0, 1] and count the same, so that averaging makes sense."""
        values, weights = self.table.values, self.table.weights
        scored = ~np.isnan(values)
        within = (values[scored] >= 0.0) & (values[scored] <= 1.0)
        return bool(within.all() and (weights[scored] == 1.0).all())

    def _row(self, fingerprint: str) -> int:
        return self.table.fingerprints.index(fingerprint)


def compare(values: TaskValues, fingerprints: Sequence[str], *, level: float) -> tuple[Pair, ...]:
    """Compare every two models on one task.

    Values of 0 and 1 are compared by McNemar's exact test, others by flipping signs, see
    :func:`~evalcore.stats.paired.paired_difference`.
    """
    return _adjusted(
        {(a, b): _compare_two(values, a, b, level=level) for a, b in combinations(fingerprints, 2)},
        level=level,
    )


def compare_on_average(
    tasks: Sequence[TaskValues], fingerprints: Sequence[str], *, level: float
) -> tuple[Pair, ...]:
    """Compare every two models on the average over tasks, in which each task weighs the same."""
    return _adjusted(
        {
            (a, b): stratified_difference([_stratum(task, a, b) for task in tasks], level=level)
            for a, b in combinations(fingerprints, 2)
        },
        level=level,
    )


def mean_over_tasks(tasks: Sequence[TaskValues], fingerprint: str, *, level: float) -> Estimate:
    """Estimate a model's average over tasks whose values lie in [0, 1].

    It is its stratified difference from a model that gets 0 everywhere.
    """
    strata: list[Stratum] = [
        (task.of(fingerprint), np.zeros_like(task.of(fingerprint)), task.groups) for task in tasks
    ]
    mean = stratified_difference(strata, level=level).difference
    return Estimate(
        value=mean.value,
        low=max(0.0, mean.low),
        high=min(1.0, mean.high),
        confidence_level=level,
        method=f"mean over {len(tasks)} tasks, {mean.method}",
        n=mean.n,
        n_unscored=mean.n_unscored,
    )


def letters(order: Sequence[str], pairs: Sequence[Pair]) -> dict[str, str]:
    """Tie groups by fingerprint, for models from best to worst."""
    place = {fingerprint: index for index, fingerprint in enumerate(order)}
    differs = np.zeros((len(order), len(order)), dtype=bool)
    for pair in pairs:
        if pair.significant and pair.model_a in place and pair.model_b in place:
            a, b = place[pair.model_a], place[pair.model_b]
            differs[a, b] = differs[b, a] = True
    return dict(zip(order, tie_letters(range(len(order)), differs), strict=True))


def _compare_two(values: TaskValues, a: str, b: str, *, level: float) -> PairedDifference:
    weights = values.shared_weights(a, b)
    first, second = values.of(a), values.of(b)
    scored = np.concatenate([first, second])
    binary = bool(np.isin(scored[~np.isnan(scored)], (0.0, 1.0)).all())
    if binary or weights is not None or values.groups is not None:
        return paired_difference(first, second, weights=weights, groups=values.groups, level=level)
    # The same test as paired_difference's without its bootstrap, which at 9 ms for 500 examples
    # would take minutes for the 1,225 pairs of 50 models on a few tasks.
    return stratified_difference([(first, second, None)], level=level)


def _stratum(values: TaskValues, a: str, b: str) -> Stratum:
    return values.of(a), values.of(b), values.groups


def _adjusted(
    compared: Mapping[tuple[str, str], PairedDifference], *, level: float
) -> tuple[Pair, ...]:
    adjusted = holm([paired.p_value for paired in compared.values()])
    return tuple(
        Pair(
            model_a=a,
            model_b=b,
            paired=paired,
            adjusted_p_value=float(p_value),
            significant=bool(p_value < 1.0 - level),
        )
        for ((a, b), paired), p_value in zip(compared.items(), adjusted, strict=True)
    )
