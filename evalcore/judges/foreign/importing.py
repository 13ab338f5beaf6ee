"""Foreign verdicts into the workspace: as verdicts, as comparisons, and with their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evalcore.hashing import content_hash
from evalcore.judges.bias.pairs import ORDER_UNKNOWN
from evalcore.judges.foreign.records import ForeignFile, ForeignVerdict
from evalcore.judges.records import Verdict
from evalcore.protocols import Completion
from evalcore.records import Comparison, Efficiency, ModelSpec, Winner, utc_now
from evalcore.store import Store
from evalcore.store.store import Answered

__all__ = ["ORDERS_AGREE", "ORDERS_DISAGREE", "Imported", "import_verdicts", "imported_model"]

ORDERS_AGREE = "the same winner in both orders"
ORDERS_DISAGREE = "different winners in the two orders"
"""Explanations of comparisons that another tool merged, or that verdicts in both orders make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file's verdicts became."""

    n_verdicts: int
    n_comparisons: int
    n_unscored: int
    """Pairs of answers without a comparison, as no verdict on them could be read."""
    n_answers: int
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Keyed:
    key: str
    """Hash over all that the file says; the same line is stored once, however often it is read."""
    verdict: ForeignVerdict


def import_verdicts(foreign: ForeignFile, store: Store) -> Imported:
    """Put a file's verdicts into the workspace; what is there already stays as it is.

    Models and judges become variants of the kind ``imported``, named as in the file, so that their
    answers can be looked at, judged again and checked. Verdicts in both orders on the same answers
    make one comparison: a tie where the orders disagree, none where one of them could not be read.
    """
    keyed = list(_keyed(foreign.verdicts))
    now = utc_now()
    comparisons = list(_comparisons(keyed, now))
    verdicts = [
        _verdict(item, now)
        for item in keyed
        if item.verdict.shown != "both_orders" and item.verdict.rater_kind != "human"
    ]
    names = {name for item in keyed for name in (item.verdict.model_a, item.verdict.model_b)}
    raters = {item.verdict.rater for item in keyed if item.verdict.rater_kind == "judge"}
    for name in sorted(names | raters):
        store.add_model(imported_model(name))
    store.add_examples(
        list({item.verdict.example.id: item.verdict.example for item in keyed}.values())
    )
    n_answers = _add_answers(foreign.verdicts, store)
    store.save_verdicts(verdicts)
    store.add_comparisons(comparisons)
    return Imported(
        n_verdicts=len(verdicts),
        n_comparisons=len(comparisons),
        n_unscored=len(_units(keyed)) - len(comparisons),
        n_answers=n_answers,
        warnings=foreign.warnings,
    )


def imported_model(name: str) -> ModelSpec:
    """Describe a model of which nothing is known but its name and what it said."""
    return ModelSpec(name=name, backend="imported", weights=name)


def _keyed(verdicts: Iterable[ForeignVerdict]) -> Iterator[_Keyed]:
    seen: Counter[str] = Counter()
    for verdict in verdicts:
        key = content_hash(
            [
                [verdict.rater, verdict.prompt_version, verdict.example.id, verdict.form],
                [verdict.model_a, verdict.model_b, verdict.shown, repr(verdict.score_a)],
                [verdict.text, verdict.answer_a, verdict.answer_b],
            ]
        )
        seen[key] += 1
        yield _Keyed(key if seen[key] == 1 else content_hash([key, seen[key]]), verdict)


def _verdict(item: _Keyed, now: str) -> Verdict:
    verdict = item.verdict
    marks = verdict.marks
    return Verdict(
        id=item.key,
        rater=verdict.rater,
        rater_kind=verdict.rater_kind,
        fingerprint=imported_model(verdict.rater).fingerprint,
        request_key="",
        form=verdict.form,
        prompt_version=verdict.prompt_version,
        example_id=verdict.example.id,
        turn=1,
        model_a=imported_model(verdict.model_a).fingerprint,
        model_b=imported_model(verdict.model_b).fingerprint,
        answer_a=_answer_key(verdict.example.id, verdict.answer_a),
        answer_b=_answer_key(verdict.example.id, verdict.answer_b),
        swapped=verdict.shown == "b_first",
        winner=verdict.winner,
        value=verdict.score_a,
        label=ORDER_UNKNOWN if verdict.shown == "unknown" else "",
        parts={} if marks is None else {"model_a": marks[0], "model_b": marks[1]},
        created_utc=now,
        cost_usd=verdict.cost_usd,
    )


def _units(keyed: Sequence[_Keyed]) -> dict[tuple[str, ...], list[_Keyed]]:
    """Put verdicts in both orders on the same answers together; each other one stays alone."""
    units: dict[tuple[str, ...], list[_Keyed]] = {}
    for item in keyed:
        verdict = item.verdict
        in_order = verdict.shown in ("a_first", "b_first") and verdict.rater_kind != "human"
        both = (verdict.rater, verdict.prompt_version, verdict.example.id)
        pair = (verdict.model_a, verdict.model_b, str(verdict.answer_a), str(verdict.answer_b))
        units.setdefault((*both, *pair) if in_order else (item.key,), []).append(item)
    return units


def _comparisons(keyed: Sequence[_Keyed], now: str) -> Iterator[Comparison]:
    for items in _units(keyed).values():
        first = items[0].verdict
        winners = {item.verdict.winner for item in items}
        winner: Winner | None = "tie" if len(winners) > 1 else first.winner
        if winner is None or None in winners:
            continue
        costs = [cost for item in items if (cost := item.verdict.cost_usd) is not None]
        yield Comparison(
            id=content_hash([item.key for item in items]),
            example_id=first.example.id,
            model_a=imported_model(first.model_a).fingerprint,
            model_b=imported_model(first.model_b).fingerprint,
            winner=winner,
            rater=first.rater,
            rater_kind=first.rater_kind,
            swapped=first.shown == "b_first",
            created_utc=now,
            explanation=_explanation(items, n_winners=len(winners)),
            judge_prompt_version=first.prompt_version or None,
            cost_usd=sum(costs) if costs else None,
        )


def _explanation(items: Sequence[_Keyed], *, n_winners: int) -> str:
    first = items[0].verdict
    if first.shown == "both_orders":
        return ORDERS_DISAGREE if first.orders_disagree else ORDERS_AGREE
    if n_winners > 1:
        return ORDERS_DISAGREE
    return "\n\n".join(item.verdict.text for item in items if item.verdict.text)


def _add_answers(verdicts: Sequence[ForeignVerdict], store: Store) -> int:
    by_model: dict[str, dict[str, Answered]] = {}
    for verdict in verdicts:
        for model, text in (
            (verdict.model_a, verdict.answer_a),
            (verdict.model_b, verdict.answer_b),
        ):
            if text is not None:
                key = _answer_key(verdict.example.id, text)
                by_model.setdefault(model, {})[key] = Answered(
                    example_id=verdict.example.id,
                    request_key=key,
                    response=Completion(
                        text=text,
                        finish_reason="stop",
                        prompt_tokens=0,
                        completion_tokens=0,
                        duration_s=0.0,
                    ),
                )
    for model, answered in by_model.items():
        store.add_responses(
            imported_model(model).fingerprint,
            list(answered.values()),
            task_hash=content_hash(["imported", model]),
            took=Efficiency(),
        )
    return sum(map(len, by_model.values()))


def _answer_key(example_id: str, text: str | None) -> str:
    return "" if text is None else content_hash(["imported", example_id, text])
