"""Measurements of running forms, each stored as soon as it is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from evalcore.energy import EnergyMeter
from evalcore.environment import environment
from evalcore.hashing import content_hash
from evalcore.protocols import Distributions, GenerateRequest, InspectableRunner
from evalcore.quantlab.records import QuantCheck
from evalcore.records import Efficiency, Example, Message, SamplingParams, Score
from evalcore.stats.divergence import kl_divergences, same_top

__all__ = [
    "DIVERGENCE_METRICS",
    "SPEED_METRICS",
    "MeasuredSet",
    "Spool",
    "divergence_set",
    "measure_divergence",
    "measure_round",
    "speed_set",
]

DIVERGENCE_METRICS: Final = ("kl", "same_top")
SPEED_METRICS: Final = (
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "joules_per_token",
    "weights_bytes",
    "disk_bytes",
)
_VERSION = 2
_ANSWER_TOKENS = 32
_WARM_UP_TOKENS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSet:
    """Examples that measurements belong to; see :class:`~evalcore.protocols.ExampleSet`."""

    name: str
    hash: str
    examples: tuple[Example, ...]
    settings: Mapping[str, object]


def divergence_set(check: QuantCheck) -> MeasuredSet:
    """Return what divergences from a check's reference belong to."""
    settings: dict[str, object] = {
        "version": _VERSION,
        "reference": check.reference.fingerprint,
        "max_tokens": check.max_tokens,
    }
    ids = [example.id for example in check.texts]
    return MeasuredSet(
        name=f"divergence from {check.reference.name}",
        hash=content_hash(["divergence", settings, ids]),
        examples=check.texts,
        settings=settings,
    )


def speed_set(check: QuantCheck, energy: EnergyMeter) -> MeasuredSet:
    """Return what a check's rounds of speed on this machine belong to."""
    settings: dict[str, object] = {
        "version": _VERSION,
        "machine": environment()["machine"],
        "energy": energy.source,
        "max_tokens": check.max_tokens,
        "answer_tokens": _ANSWER_TOKENS,
        "texts": content_hash([example.id for example in check.texts]),
    }
    own_hash = content_hash(["speed", settings, check.n_rounds])
    rounds = tuple(
        Example(
            id=content_hash([own_hash, place]),
            messages=(Message(role="user", content=f"round {place}"),),
        )
        for place in range(check.n_rounds)
    )
    return MeasuredSet(name="speed", hash=own_hash, examples=rounds, settings=settings)


class Spool:
    """A reference's distributions on disk, so that it needn't stay in memory beside the forms."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, example: Example, found: Distributions) -> None:
        """Put a text's distributions on disk."""
        np.savez(self._file(example), tokens=np.array(found.tokens), logprobs=found.logprobs)

    def load(self, example: Example) -> Distributions:
        """Read a text's distributions."""
        with np.load(self._file(example)) as kept:
            return Distributions(tokens=tuple(kept["tokens"].tolist()), logprobs=kept["logprobs"])

    def _file(self, example: Example) -> Path:
        return self._folder / f"{example.id}.npz"


def measure_divergence(
    runner: InspectableRunner,
    check: QuantCheck,
    todo: Sequence[Example],
    *,
    spool: Spool,
    keep: Callable[[Sequence[Score]], None],
) -> None:
    """Compare a form's distributions with the reference's, or spool those of the reference.

    A text's value is its mean over tokens, its weight their number. A text that the form cuts into
    other tokens can't be compared: its values are nan.
    """
    is_reference = runner.spec.fingerprint == check.reference.fingerprint
    texts = [example.messages[-1].content for example in todo]
    found = runner.distributions(texts, max_tokens=check.max_tokens)
    task_hash = divergence_set(check).hash
    for example, own in zip(todo, found, strict=True):
        if is_reference:
            spool.keep(example, own)
        values = _divergence(own, own if is_reference else spool.load(example))
        keep(
            [
                Score(
                    example_id=example.id,
                    fingerprint=runner.spec.fingerprint,
                    task_hash=task_hash,
                    metric=metric,
                    value=value,
                    weight=max(1, len(own.tokens)),
                )
                for metric, value in values.items()
            ]
        )


def _divergence(own: Distributions, reference: Distributions) -> dict[str, float]:
    if own.tokens != reference.tokens or not own.tokens:
        return dict.fromkeys(DIVERGENCE_METRICS, math.nan)
    # A format may pad the vocabulary; what is beyond it has no probability in the other one.
    n = min(own.logprobs.shape[1], reference.logprobs.shape[1])
    p, q = reference.logprobs[:, :n], own.logprobs[:, :n]
    values = {"kl": kl_divergences(p, q), "same_top": same_top(p, q)}
    return {metric: float(some.mean()) for metric, some in values.items()}


def measure_round(
    runner: InspectableRunner, check: QuantCheck, place: int, energy: EnergyMeter
) -> dict[str, float]:
    """Let a form answer one text alone, and tell how fast that was.

    Returns
    -------
    dict of str to float
        Tokens a second of prefill and decoding, joules per token (nan where they aren't told),
        and bytes in memory and on disk.
    """
    text = check.texts[place % len(check.texts)].messages[-1].content
    text = text[: max(1, len(text) // 2)]  # a whole text may be followed by nothing
    _answer(runner, text, _WARM_UP_TOKENS)
    before = energy.now()
    took = _answer(runner, text, _ANSWER_TOKENS)
    took = replace(took, joules=energy.since(before))
    return {
        "prefill_tokens_per_s": took.prefill_tokens_per_s,
        "decode_tokens_per_s": took.decode_tokens_per_s,
        "joules_per_token": took.joules_per_token,
        "weights_bytes": float(runner.weights_bytes),
        "disk_bytes": float(took.size_on_disk_bytes),
    }


def _answer(runner: InspectableRunner, text: str, n_tokens: int) -> Efficiency:
    params = SamplingParams(max_new_tokens=n_tokens)
    (finished,) = runner.generate([GenerateRequest(prompt=text, params=params)])
    return finished.efficiency
