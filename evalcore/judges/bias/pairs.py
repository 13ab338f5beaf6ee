"""A judge's verdicts on pairs of answers in columns, beside what others say of the same answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalcore.judges.records import Verdict
from evalcore.stats.clustering import group_codes

__all__ = ["ORDER_UNKNOWN", "JudgedPair", "JudgedPairs", "unit_name"]

ORDER_UNKNOWN = "order not known"
"""Label of a verdict from elsewhere of which nobody knows what was shown first."""

Features = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPair:
    """One verdict: two answers to one example, and how far the first is preferred."""

    example: str
    model_a: str
    model_b: str
    score_a: float
    """From 0 to 1, 0.5 a tie; nan = could not be scored."""
    place: int = 0
    """1 if A was shown first, -1 if B was; 0 where it is not known, or both orders were merged."""

    @classmethod
    def from_verdict(cls, verdict: Verdict) -> JudgedPair:
        """Take a verdict on a pair."""
        return cls(
            example=unit_name(verdict.example_id, verdict.turn),
            model_a=verdict.model_a,
            model_b=verdict.model_b or "",
            score_a=verdict.value,
            place=0 if verdict.label == ORDER_UNKNOWN else -1 if verdict.swapped else 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPairs:
    """Verdicts in columns; of two models the one whose name comes first in order is A."""

    models: tuple[str, ...]
    examples: tuple[str, ...]
    a: NDArray[np.intp]
    """``(n,)`` positions in ``models``."""
    b: NDArray[np.intp]
    """``(n,)`` positions in ``models``, above those of ``a``."""
    example: NDArray[np.intp]
    """``(n,)`` positions in ``examples``."""
    score: NDArray[np.float64]
    """``(n,)`` of A, from 0 to 1; nan = could not be scored."""
    place: NDArray[np.float64]
    """``(n,)`` 1 if A was shown first, -1 if B was, 0 where that is not known."""
    reference: NDArray[np.float64]
    """``(n,)`` mean score of A by others on the same answers; nan where there is none."""
    features: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """By name, ``(n, 2)``: of A's and of B's answer; nan where the answer is not known."""

    @classmethod
    def from_rows(cls, rows: Iterable[JudgedPair]) -> JudgedPairs:
        """Put verdicts into columns, with no reference and no features yet."""
        given = list(rows)
        models = tuple(sorted({name for row in given for name in (row.model_a, row.model_b)}))
        examples = tuple(sorted({row.example for row in given}))
        code = {name: place for place, name in enumerate(models)}
        place_of = {name: place for place, name in enumerate(examples)}
        a = np.array([code[row.model_a] for row in given], np.intp)
        b = np.array([code[row.model_b] for row in given], np.intp)
        score = np.array([row.score_a for row in given], float)
        place = np.array([row.place for row in given], float)
        turned = a > b
        return cls(
            models=models,
            examples=examples,
            a=np.minimum(a, b),
            b=np.maximum(a, b),
            example=np.array([place_of[row.example] for row in given], np.intp),
            score=np.where(turned, 1.0 - score, score),
            place=np.where(turned, -place, place),
            reference=np.full(len(given), np.nan),
        )

    def __len__(self) -> int:
        """Count the verdicts."""
        return len(self.score)

    @property
    def unit(self) -> NDArray[np.intp]:
        """``(n,)`` equal numbers for verdicts on the same two answers."""
        n_models = max(len(self.models), 1)
        return group_codes((self.example * n_models + self.a) * n_models + self.b)

    @property
    def pair(self) -> NDArray[np.intp]:
        """``(n,)`` equal numbers for verdicts on the same two models."""
        return group_codes(self.a * max(len(self.models), 1) + self.b)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """``(n,)`` whether the verdict could be read."""
        return ~np.isnan(self.score)

    def take(self, rows: NDArray[Any]) -> JudgedPairs:
        """Keep some verdicts, given by a mask or by positions; names stay."""
        return replace(
            self,
            a=self.a[rows],
            b=self.b[rows],
            example=self.example[rows],
            score=self.score[rows],
            place=self.place[rows],
            reference=self.reference[rows],
            features={name: values[rows] for name, values in self.features.items()},
        )

    def with_reference(self, others: JudgedPairs) -> JudgedPairs:
        """Put beside each verdict the mean score that others gave the same answers."""
        sums: dict[tuple[str, str, str], list[float]] = {}
        for key, score in zip(others._keys(), others.score.tolist(), strict=True):
            if score == score:  # not nan
                sums.setdefault(key, []).append(score)
        means = {key: sum(scores) / len(scores) for key, scores in sums.items()}
        reference = np.array([means.get(key, np.nan) for key in self._keys()], float)
        return replace(self, reference=reference)

    def with_features(self, features: Mapping[tuple[str, str], Features]) -> JudgedPairs:
        """Put beside each verdict the features of both answers, given by model and example."""
        names = sorted({name for known in features.values() for name in known})
        table = {name: np.full((len(self), 2), np.nan) for name in names}
        for row, (example, model_a, model_b) in enumerate(self._keys()):
            for side, model in enumerate((model_a, model_b)):
                for name, value in features.get((model, example), {}).items():
                    table[name][row, side] = value
        return replace(self, features=table)

    def _keys(self) -> list[tuple[str, str, str]]:
        return [
            (self.examples[example], self.models[a], self.models[b])
            for example, a, b in zip(
                self.example.tolist(), self.a.tolist(), self.b.tolist(), strict=True
            )
        ]


def unit_name(example_id: str, turn: int) -> str:
    """Name what was judged: an example, or a later turn of its conversation."""
    return example_id if turn <= 1 else f"{example_id} turn {turn}"
