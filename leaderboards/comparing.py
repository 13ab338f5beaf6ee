"""Comparison of every two models of a column, and of the rating."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalcore.records import Estimate
from evalcore.stats.paired import PairedDifference, paired_difference, stratified_difference
from evalcore.stats.pairwise import (
    Values,
    macro_means,
    macro_p_values,
    mcnemar_p_values,
    sign_flip_p_values,
)
from evalcore.stats.pairwise_differences import binary_differences, stratified_differences
from evalcore.store import ScoreTable, Store
from leaderboards.pairs import Pairs

__all__ = ["TaskValues", "compare", "compare_on_average", "means_over_tasks"]

Stratum = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskValues:
    """The values of one metric of one task: models x examples."""

    table: ScoreTable
    groups: NDArray[np.int64] | None
    """Numbers of the clusters that examples come in, shape (n_examples,); None if they don't."""

    @classmethod
    def load(
        cls,
        store: Store,
        wanted: Mapping[tuple[str, str], Sequence[str]],
        *,
        category: str | None = None,
    ) -> list[TaskValues]:
        """Read from the workspace; only the examples of a category, if one is given.

        Parameters
        ----------
        store
            The workspace.
        wanted
            Fingerprints by task hash and metric.
        category
            Of examples.

        Returns
        -------
        list of TaskValues
            In the order given.
        """
        tables = store.score_tables(wanted)
        labels = store.example_labels({task_hash for task_hash, _metric in wanted})
        found = [
            (cls(table=tables[key], groups=labels[key[0]].groups), labels[key[0]]) for key in wanted
        ]
        if category is None:
            return [values for values, _labels in found]
        return [values.take(some.in_category(category)) for values, some in found]

    def take(self, rows: NDArray[np.intp]) -> TaskValues:
        """Keep some examples."""
        table = replace(
            self.table,
            example_ids=tuple(self.table.example_ids[row] for row in rows),
            values=self.table.values[:, rows],
            weights=self.table.weights[:, rows],
        )
        groups = None if self.groups is None else self.groups[rows]
        return TaskValues(table=table, groups=groups)

    def of(self, fingerprint: str) -> NDArray[np.float64]:
        """Return a model's values, nan where there is none, shape (n_examples,)."""
        values: NDArray[np.float64] = self.table.values[self._row(fingerprint)]
        return values

    def among(self, fingerprints: Sequence[str]) -> Values:
        """Return the values of some models, for what compares all of them."""
        values = self.table.values
        if tuple(fingerprints) != self.table.fingerprints:
            values = values[[self._row(fingerprint) for fingerprint in fingerprints]]
        return Values(values=values, groups=self.groups)

    def shared_weights(self, model_a: str, model_b: str) -> NDArray[np.float64] | None:
        """Mean of both models' weights, shape (n_examples,); None if all examples weigh the same.

        An example that one of them lacks has none, whatever it weighs for the other.
        The weights of two models differ if they count tokens in their own ways.
        """
        rows = [self._row(model_a), self._row(model_b)]
        both = self.table.weights[rows]
        weights = np.where((both > 0).all(axis=0), both.mean(axis=0), 0.0)
        return None if len(np.unique(weights[weights > 0])) <= 1 else weights

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean of each model's scored values, (n_models,); nan without one."""
        scored = ~np.isnan(self.table.values)
        n = scored.sum(axis=1)
        sums = np.where(scored, self.table.values, 0.0).sum(axis=1)
        return np.asarray(np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0))

    @property
    def is_plain_share(self) -> bool:
        """True if all values lie in [0, 1] and count the same, so that averaging makes sense."""
        values, weights = self.table.values, self.table.weights
        scored = ~np.isnan(values)
        within = (values >= 0.0) & (values <= 1.0) & (weights == 1.0)
        return bool((within == scored).all())

    def _row(self, fingerprint: str) -> int:
        return self.table.fingerprints.index(fingerprint)


def compare(values: TaskValues, fingerprints: Sequence[str], *, level: float) -> Pairs:
    """Compare every two models on one task.

    Values of 0 and 1 are compared by McNemar's exact test, others by flipping signs, see
    :func:`~evalcore.stats.paired.paired_difference`.
    """
    return Pairs(
        fingerprints,
        lambda: _p_values(values, fingerprints),
        level=level,
        compare=lambda a, b: _compare_two(values, a, b, level=level),
        compare_all=lambda p_values: _compare_all(values, fingerprints, p_values, level=level),
    )


def compare_on_average(
    tasks: Sequence[TaskValues], fingerprints: Sequence[str], *, level: float
) -> Pairs:
    """Compare every two models on the average over tasks, in which each task weighs the same."""
    return Pairs(
        fingerprints,
        lambda: macro_p_values([task.among(fingerprints) for task in tasks]),
        level=level,
        compare=lambda a, b: stratified_difference(
            [_stratum(task, a, b) for task in tasks], level=level
        ),
        compare_all=lambda p_values: _compare_all_on_average(
            tasks, fingerprints, p_values, level=level
        ),
    )


def means_over_tasks(
    tasks: Sequence[TaskValues], fingerprints: Sequence[str], *, level: float
) -> dict[str, Estimate]:
    """Estimate models' averages over tasks whose values lie in [0, 1].

    Each is the model's stratified difference from a model that gets 0 everywhere.
    """
    if any(task.groups is not None for task in tasks):
        means = [_mean_over_tasks(tasks, name, level=level) for name in fingerprints]
    else:
        means = macro_means([task.among(fingerprints) for task in tasks], level=level)
    return {
        name: replace(
            mean,
            low=max(0.0, mean.low),
            high=min(1.0, mean.high),
            method=f"mean over {len(tasks)} tasks, {mean.method}",
        )
        for name, mean in zip(fingerprints, means, strict=True)
    }


def _mean_over_tasks(tasks: Sequence[TaskValues], fingerprint: str, *, level: float) -> Estimate:
    strata: list[Stratum] = [
        (task.of(fingerprint), np.zeros_like(task.of(fingerprint)), task.groups) for task in tasks
    ]
    return stratified_difference(strata, level=level).difference


def _p_values(values: TaskValues, fingerprints: Sequence[str]) -> NDArray[np.float64]:
    table = values.among(fingerprints)
    rows = [values.table.fingerprints.index(name) for name in fingerprints]
    weights = values.table.weights[rows]
    weighted = len(np.unique(weights[weights > 0])) > 1
    if np.isinf(table.values).any() or (weighted and table.is_binary):
        return _one_by_one(values, fingerprints)
    if table.is_binary and table.groups is None and not weighted:
        return mcnemar_p_values(table.values)
    return sign_flip_p_values(table, weights=weights if weighted else None)


def _one_by_one(values: TaskValues, fingerprints: Sequence[str]) -> NDArray[np.float64]:
    """Compare where only signs of differences can be summed, as with impossible texts."""
    found = np.ones((len(fingerprints), len(fingerprints)))
    for first, a in enumerate(fingerprints):
        for second, b in enumerate(fingerprints[:first]):
            paired = _compare_two(values, a, b, level=0.95)
            found[first, second] = found[second, first] = paired.p_value
    return found


def _compare_all(
    values: TaskValues,
    fingerprints: Sequence[str],
    p_values: NDArray[np.float64],
    *,
    level: float,
) -> Iterable[PairedDifference] | None:
    """Do for every two models what :func:`_compare_two` does, if they are all of one kind."""
    table = values.among(fingerprints)
    weights = values.table.weights
    if (
        table.groups is not None
        or np.isinf(table.values).any()
        or len(np.unique(weights[weights > 0])) > 1
    ):
        return None
    if table.is_binary:
        return binary_differences(table, p_values, level=level)
    n_binary = sum(Values(values=row[None]).is_binary for row in table.values)
    return stratified_differences([table], p_values, level=level) if n_binary < 2 else None


def _compare_all_on_average(
    tasks: Sequence[TaskValues],
    fingerprints: Sequence[str],
    p_values: NDArray[np.float64],
    *,
    level: float,
) -> Iterable[PairedDifference] | None:
    tables = [task.among(fingerprints) for task in tasks]
    if any(table.groups is not None for table in tables):
        return None
    return stratified_differences(tables, p_values, level=level)


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
