"""Which answers a judge is shown together, in which order, under which prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.judges.answers import Answers
from evalcore.judges.records import Answer, JudgePrompt, OrderPolicy, PromptKind, Protocol
from evalcore.judges.rendering import LETTERS, Shown, references_of, requests
from evalcore.protocols import Request
from evalcore.records import Example, ModelSpec

__all__ = ["Call", "Plan", "Unit", "calls_of", "plan_units", "prompt_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be judged."""

    name: str
    """Of the prompt set."""
    specs: tuple[ModelSpec, ...]
    """The models judged."""
    examples: tuple[Example, ...]
    answers: Answers
    kind: PromptKind
    baseline: str | None = None
    """Fingerprint of the model that each other one is compared with; None compares all pairs."""
    order: OrderPolicy = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Answers that are judged together: one, a pair, or all of a ranking."""

    example: Example
    turn: int
    answers: tuple[Answer, ...]
    """A pair's are those of ``model_a`` and ``model_b``."""

    @property
    def key(self) -> str:
        """Content hash of the answers, whichever is called A."""
        answers = sorted([item.fingerprint, item.request_key] for item in self.answers)
        return content_hash([self.example.id, self.turn, answers])

    @property
    def is_settled(self) -> bool:
        """Several answers that are all the same: a tie that nobody needs to be asked about."""
        return len(self.answers) > 1 and len({item.texts for item in self.answers}) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question to a judge."""

    shown: Shown
    order: tuple[int, ...]
    """``order[position]`` is the place in the unit's answers of the one shown there."""
    prompt: JudgePrompt
    requests: tuple[Request, ...]


def plan_units(plan: Plan) -> Iterator[Unit]:
    """Yield what is judged, by example, turn and models.

    Raises
    ------
    InputError
        For fewer models than the kind needs, or more than a ranking has letters for.
    """
    n_fewest = 1 if plan.kind == "single" else 2
    if len(plan.specs) < n_fewest:
        raise InputError(f"{plan.kind} judging needs {n_fewest} models; got {len(plan.specs)}")
    if plan.kind == "ranking" and len(plan.specs) > len(LETTERS):
        raise InputError(f"a ranking takes {len(LETTERS)} models at most; got {len(plan.specs)}")
    groups = list(_groups(plan))
    for example in plan.examples:
        for turn in range(1, 2 + len(example.follow_ups)):
            for group in groups:
                answers = tuple(plan.answers[model][example.id][turn - 1] for model in group)
                yield Unit(example=example, turn=turn, answers=answers)


def _groups(plan: Plan) -> Iterator[tuple[str, ...]]:
    models = [spec.fingerprint for spec in plan.specs]
    if plan.kind == "ranking":
        yield tuple(models)
    elif plan.kind == "single":
        yield from ((model,) for model in models)
    elif plan.baseline is not None:
        yield from ((model, plan.baseline) for model in models if model != plan.baseline)
    else:
        yield from combinations(models, 2)


def calls_of(
    unit: Unit, protocol: Protocol, *, order: OrderPolicy, scores_labels: bool
) -> list[Call]:
    """Return the questions about a unit; none if it is settled.

    A pair is shown in both orders, in one that a hash of the answers decides, or as it is. A
    ranking is shown in an order that the hash decides and in its reverse, in the former alone, or
    as it is.
    """
    if unit.is_settled:
        return []
    prompt = prompt_for(protocol, unit)
    calls = []
    for places in _orders(unit, order):
        shown = Shown(
            example=unit.example,
            turn=unit.turn,
            answers=tuple(unit.answers[place] for place in places),
        )
        asked = requests(prompt, shown, scores_labels=scores_labels)
        calls.append(Call(shown=shown, order=places, prompt=prompt, requests=asked))
    return calls


def _orders(unit: Unit, order: OrderPolicy) -> list[tuple[int, ...]]:
    places = tuple(range(len(unit.answers)))
    if len(places) == 1 or order == "fixed":
        return [places]
    if len(places) == 2 and order == "both":
        return [places, places[::-1]]
    # By the answers alone, so that it doesn't matter which model is named first.
    drawn = tuple(sorted(places, key=lambda at: _rank(unit, unit.answers[at])))
    return [drawn, drawn[::-1]] if order == "both" else [drawn]


def _rank(unit: Unit, answer: Answer) -> str:
    return content_hash([unit.key, answer.fingerprint])


def prompt_for(protocol: Protocol, unit: Unit) -> JudgePrompt:
    """Return the prompt for a unit's turn, with the reference where there is one and it counts.

    Raises
    ------
    InputError
        For a later turn, if the protocol has no prompt for it.
    """
    example, categories = unit.example, protocol.reference_categories
    counts = categories is None or example.category in categories
    has_reference = counts and references_of(example, unit.turn) is not None
    if unit.turn == 1:
        plain = protocol.by_category.get(example.category or "", protocol.plain)
        return (protocol.reference if has_reference else None) or plain
    found = (protocol.multi_turn_reference if has_reference else None) or protocol.multi_turn
    if found is None:
        raise InputError(
            f"judge prompt {protocol.name!r} has none for later turns, but prompt "
            f"{example.metadata.get('id', example.id)!r} has {1 + len(example.follow_ups)}"
        )
    return found
