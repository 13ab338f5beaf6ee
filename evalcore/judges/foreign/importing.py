"""Foreign verdicts into the workspace: as verdicts, as comparisons, and with their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalcore.exchange.identity import answer_key, imported_answers, imported_model
from evalcore.exchange.records import Parcel
from evalcore.exchange.sources import source_file
from evalcore.hashing import content_hash
from evalcore.judges.bias.pairs import ORDER_UNKNOWN
from evalcore.judges.foreign.records import ForeignFile, ForeignVerdict
from evalcore.judges.records import Verdict
from evalcore.records import Comparison, Generation, Winner, utc_now
from evalcore.store import Store

__all__ = ["ORDERS_AGREE", "ORDERS_DISAGREE", "Imported", "import_verdicts", "verdict_parcel"]

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
    """Put a file's verdicts into the workspace at once; what is there already stays as it is.

    Models and judges become variants of the kind ``imported``, named as in the file, so that their
    answers can be looked at, judged again and checked. Verdicts in both orders on the same answers
    make one comparison: a tie where the orders disagree, none where one of them could not be read.
    """
    path = Path(foreign.source)
    parcel = verdict_parcel(foreign, source=path, now=utc_now())
    with store.intake([source_file(path, foreign.format)]) as intake:
        intake.add(parcel)
    return Imported(
        n_verdicts=len(parcel.verdicts),
        n_comparisons=len(parcel.comparisons),
        n_unscored=len(_units(list(_keyed(foreign.verdicts)))) - len(parcel.comparisons),
        n_answers=len(parcel.answers),
        warnings=foreign.warnings,
    )


def verdict_parcel(foreign: ForeignFile, *, source: Path, now: str) -> Parcel:
    """Make records of a file's verdicts, as :func:`import_verdicts` stores them."""
    keyed = list(_keyed(foreign.verdicts))
    names = {name for item in keyed for name in (item.verdict.model_a, item.verdict.model_b)}
    raters = {item.verdict.rater for item in keyed if item.verdict.rater_kind == "judge"}
    return Parcel(
        source=source,
        n_read=len(foreign.verdicts),
        models=[imported_model(name) for name in sorted(names | raters)],
        examples=list({item.verdict.example.id: item.verdict.example for item in keyed}.values()),
        answers=list(_answers(foreign.verdicts, now)),
        verdicts=[
            _verdict(item, now)
            for item in keyed
            if item.verdict.shown != "both_orders" and item.verdict.rater_kind != "human"
        ],
        comparisons=list(_comparisons(keyed, now)),
        warnings=foreign.warnings,
    )


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


def _answers(verdicts: Sequence[ForeignVerdict], now: str) -> Iterator[Generation]:
    """Yield each answer once, however many verdicts there are on it."""
    seen: set[tuple[str, str]] = set()
    for verdict in verdicts:
        for model, text in (
            (verdict.model_a, verdict.answer_a),
            (verdict.model_b, verdict.answer_b),
        ):
            key = model, _answer_key(verdict.example.id, text)
            if text is not None and key not in seen:
                seen.add(key)
                yield from imported_answers(verdict.example, model, [text], created_utc=now)


def _answer_key(example_id: str, text: str | None) -> str:
    return answer_key(example_id, () if text is None else (text,))
