"""A judge whose biases are known, to see whether a report finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evalcore.judges.bias.pairs import JudgedPair, JudgedPairs
from evalcore.stats.style_features import feature_differences

__all__ = ["SimulatedJudge", "SimulatedStudy", "simulate"]

_MODELS = ("judge's own", "second", "third", "fourth")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedJudge:
    """Biases in win rate: each adds to the probability that an answer is preferred."""

    position: float = 0.0
    """For the first place; negative for the second."""
    length: float = 0.0
    """For a typical excess of length."""
    self_preference: float = 0.0
    """For the judge's own answers."""
    ties: float = 0.1
    """Share of ties, whatever the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedStudy:
    """How much is judged, and how."""

    n_examples: int = 200
    both_orders: bool = True
    """Otherwise each pair in one order, drawn at random."""
    votes: int = 1
    """People's votes on each pair of answers."""


def simulate(
    judge: SimulatedJudge, study: SimulatedStudy, rng: np.random.Generator
) -> tuple[JudgedPairs, tuple[str, ...]]:
    """Draw verdicts of a biased judge on four models, and votes of unbiased people.

    Answers differ in quality by example and model; better ones are longer on average, so that a
    preference for length is not a bias by itself. People prefer A with probability q of quality
    alone, the judge with q + position · place + length · x + self_preference · own.

    Returns
    -------
    tuple
        The verdicts with the people's votes as reference and the lengths as a feature, and the
        names of the judge's own models.
    """
    n, m = study.n_examples, len(_MODELS)
    quality = rng.normal(0.0, 0.5, (n, m)) + np.linspace(0.4, -0.4, m)
    lengths = np.exp(6.0 + 0.25 * quality + rng.normal(0.0, 0.4, (n, m)))
    example, a, b = _pairs(n, m)
    differences = feature_differences(
        {"length": np.column_stack([lengths[example, a], lengths[example, b]])}, ["length"]
    )[0]
    # bounded well inside [0, 1], so that the biases add without reaching the ends
    fair = 0.5 + 0.2 * np.tanh(quality[example, a] - quality[example, b])
    own = (a == 0).astype(float) - (b == 0)
    lean = judge.length * np.clip(differences, -3.0, 3.0) + judge.self_preference * own
    people = np.mean([_verdicts(fair, judge.ties, rng) for _ in range(study.votes)], axis=0)
    luck = rng.random(len(a))  # of the answers' pair: verdicts in both orders are alike
    places = (1.0, -1.0) if study.both_orders else (rng.choice([1.0, -1.0], len(a)),)
    rows = []
    for place in places:
        shown = np.broadcast_to(place, len(a))
        score = _verdicts(fair + lean + judge.position * shown, judge.ties, rng, luck=luck)
        rows.append(_rows(example, a, b, score=score, place=shown))
    reference = JudgedPairs.from_rows(_rows(example, a, b, score=people, place=np.zeros(len(a))))
    features = {
        (_MODELS[model], str(place)): {"length": float(lengths[place, model])}
        for place in range(n)
        for model in range(m)
    }
    judged = JudgedPairs.from_rows([row for some in rows for row in some])
    return judged.with_reference(reference).with_features(features), _MODELS[:1]


def _pairs(n: int, m: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """All pairs of m models on each of n examples."""
    first, second = np.triu_indices(m, 1)
    return np.repeat(np.arange(n), len(first)), np.tile(first, n), np.tile(second, n)


def _verdicts(
    probability: NDArray[np.float64],
    ties: float,
    rng: np.random.Generator,
    *,
    luck: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Draw 1, 0.5 or 0 with the probability as mean; ties in a share of cases, evenly."""
    n = len(probability)
    drawn = rng.random(n) if luck is None else np.where(rng.random(n) < 0.5, luck, rng.random(n))
    decided = (drawn < (probability - ties / 2.0) / (1.0 - ties)).astype(float)
    return np.where(rng.random(n) < ties, 0.5, decided)


def _rows(
    example: NDArray[np.intp],
    a: NDArray[np.intp],
    b: NDArray[np.intp],
    *,
    score: NDArray[np.float64],
    place: NDArray[np.float64],
) -> list[JudgedPair]:
    return [
        JudgedPair(
            example=str(example[row]),
            model_a=_MODELS[a[row]],
            model_b=_MODELS[b[row]],
            score_a=float(score[row]),
            place=int(place[row]),
        )
        for row in range(len(a))
    ]
