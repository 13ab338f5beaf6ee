"""Judges and people on the same answers: how far they agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.stats.agreement import cohen_kappa, gwet_ac1, raw_agreement
from evalcore.votes.columns import Votes
from leaderboards.records import SharedAgreement

__all__ = ["shared_agreement"]

_LABELS = np.array(["model_a", "model_b", "tie"])
_BY_WINNER = np.array([0, 1, 2, 2])
_TURNED = np.array([1, 0, 2])
_LARGEST_TABLE = 1 << 28


def shared_agreement(
    verdicts: Votes, votes: Votes, *, level: float = 0.95
) -> SharedAgreement | None:
    """Put each verdict beside each vote on the same two answers.

    A unit is an example with two models, whichever was called A; both bad counts as a tie. Of
    several votes of a rater on one unit the first counts. Intervals are clustered by unit.

    Parameters
    ----------
    verdicts, votes
        Of judges and of people, with the same names of models and examples.
    level
        Confidence level.

    Returns
    -------
    SharedAgreement or None
        None where nothing was looked at by both.
    """
    if verdicts.example is None or votes.example is None:
        return None
    by_judge, by_person = _shared(
        _labelled(verdicts, verdicts.example.codes), _labelled(votes, votes.example.codes)
    )
    first = np.searchsorted(by_judge.unit, by_person.unit, side="left")
    last = np.searchsorted(by_judge.unit, by_person.unit, side="right")
    n_each = last - first
    if not n_each.sum():
        return None
    person = np.repeat(np.arange(len(n_each)), n_each)
    offset = np.arange(len(person)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
    judge = first[person] + offset
    unit = by_person.unit[person]
    labels = _LABELS[by_judge.label[judge]], _LABELS[by_person.label[person]]
    m = len(votes.models)
    sides = unit // m % m, unit % m
    return SharedAgreement(
        n_pairs=len(unit),
        n_units=len(np.unique(unit)),
        share=raw_agreement(*labels, groups=unit, level=level),
        kappa=cohen_kappa(*labels, symmetric=True, groups=unit, level=level),
        ac1=gwet_ac1(*labels, symmetric=True, groups=unit, level=level),
        by_model={
            votes.models[code]: raw_agreement(
                labels[0][rows], labels[1][rows], groups=unit[rows], level=level
            )
            for code, rows in _with_each(sides)
        },
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Labels from the view of the model named first, ``(n,)`` each."""

    unit: NDArray[np.int64]
    label: NDArray[np.int64]
    rater: NDArray[np.int64]

    def take(self, rows: NDArray[Any]) -> _Labelled:
        return _Labelled(self.unit[rows], self.label[rows], self.rater[rows])

    def once(self) -> _Labelled:
        """Sort by unit, and keep the first label of each rater on it."""
        rows = self.take(np.lexsort((np.arange(len(self.unit)), self.rater, self.unit)))
        again = np.zeros(len(rows.unit), dtype=bool)
        again[1:] = (rows.unit[1:] == rows.unit[:-1]) & (rows.rater[1:] == rows.rater[:-1])
        return rows.take(~(again & (rows.rater >= 0)))


def _labelled(votes: Votes, examples: NDArray[np.int32]) -> _Labelled:
    m = len(votes.models)
    a, b = votes.model_a.astype(np.int64), votes.model_b.astype(np.int64)
    unit = (examples.astype(np.int64) * m + np.minimum(a, b)) * m + np.maximum(a, b)
    label = _BY_WINNER[votes.winner]
    rater = np.zeros(len(unit), np.int64)
    if votes.rater is not None:
        rater = votes.rater.codes.astype(np.int64)
    found = _Labelled(unit, np.where(a < b, label, _TURNED[label]), rater)
    return found if (examples >= 0).all() else found.take(examples >= 0)


def _shared(first: _Labelled, second: _Labelled) -> tuple[_Labelled, _Labelled]:
    """Keep the units that both have; most of a million votes have none, and sorting is dear."""
    kept = first.take(_is_among(first.unit, second.unit)).once()
    return kept, second.take(_is_among(second.unit, first.unit)).once()


def _is_among(units: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    size = int(max(units.max(initial=0), others.max(initial=0))) + 1
    if size > _LARGEST_TABLE:
        return np.isin(units, others)
    there = np.zeros(size, dtype=bool)
    there[others] = True
    return there[units]


def _with_each(
    sides: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Iterable[tuple[int, NDArray[np.bool_]]]:
    for code in np.unique(np.concatenate(sides)):
        yield int(code), (sides[0] == code) | (sides[1] == code)
