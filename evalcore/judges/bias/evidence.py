"""What a workspace holds on a judge: its verdicts, others' votes, the answers and their prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from evalcore.errors import InputError
from evalcore.judges.attacks import AnswerCheck, check_answers
from evalcore.judges.bias.pairs import JudgedPair, JudgedPairs, unit_name
from evalcore.judges.records import Verdict
from evalcore.protocols import Completion
from evalcore.records import Comparison
from evalcore.stats.style_features import style_features
from evalcore.stats.vote_source import named_comparisons, unique_names
from evalcore.store import Store

__all__ = ["Evidence", "gather", "judges_of"]

AnswerKey = tuple[str, str]
"""Model and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of one judge; models go by their names."""

    judge: str
    verdicts: Sequence[Verdict] = ()
    """On pairs of answers, one for each order."""
    comparisons: Sequence[Comparison] = ()
    """The judge's, merged over orders."""
    votes: Sequence[Comparison] = ()
    """Of people, on answers that the judge saw."""
    others: Sequence[JudgedPair] = ()
    """Of other judges."""
    answers: Mapping[AnswerKey, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    """By example id."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """By example id, of those that have one."""
    own: tuple[str, ...] = ()
    """Models that are the judge itself."""

    @property
    def pairs(self) -> JudgedPairs:
        """The judge's verdicts with people's votes and the answers' style beside them.

        A comparison counts by itself only where there is no verdict on the same answers, as with
        orders that another tool has merged.
        """
        judged = JudgedPairs.from_rows(_rows(self.verdicts, self.comparisons))
        votes = JudgedPairs.from_rows(_plain_rows(self.votes))
        style = {key: style_features(text) for key, text in self.answers.items()}
        return judged.with_reference(votes).with_features(style)

    def check(self) -> dict[str, AnswerCheck]:
        """Check each model's answers for passages meant for the judge."""
        by_model: dict[str, dict[str, str]] = {}
        for (model, unit), text in self.answers.items():
            by_model.setdefault(model, {})[unit] = text
        return {
            model: check_answers(texts, self.prompts) for model, texts in sorted(by_model.items())
        }


def judges_of(store: Store) -> list[str]:
    """Name the judges that compared answers in a workspace, sorted."""
    by_verdict = {item.rater for item in store.verdicts() if item.model_b is not None}
    return sorted(by_verdict | {item.rater for item in store.comparisons(kinds=["judge", "rule"])})


def gather(
    store: Store,
    judge: str,
    *,
    own: Sequence[str] = (),
    people: Sequence[str] = (),
    under_way: bool = False,
) -> Evidence:
    """Read what a workspace holds on a judge.

    Parameters
    ----------
    store
        The workspace.
    judge
        Its name.
    own
        Names of models that are the judge itself, besides the one with its fingerprint.
    people
        How the names of the people begin whose votes count, such as ``expert_``; all if none.
    under_way
        Whether votes count in studies that are under way.

    Raises
    ------
    InputError
        If the judge has compared nothing, or for an own model that it didn't judge.
    """
    names = unique_names(store)
    every = [_named(item, names) for item in store.verdicts() if item.model_b is not None]
    verdicts = [item for item in every if item.rater == judge]
    compared = list(named_comparisons(store, ("human", "judge", "rule")))
    comparisons = [item for item in compared if item.rater == judge]
    if not verdicts and not comparisons:
        known = ", ".join(judges_of(store)) or "none yet"
        raise InputError(f"judge must be one that has compared answers, {known}; got {judge!r}")
    judged = {_unit(item) for item in verdicts} | {_unit(item) for item in comparisons}
    models = {name for _, pair in judged for name in pair}
    for name in own:
        if name not in models:
            permitted = ", ".join(sorted(models))
            raise InputError(f"--own must be a model that was judged, {permitted}; got {name!r}")
    hidden = frozenset() if under_way else store.hidden_examples()
    itself = {names.get(item.fingerprint, item.fingerprint) for item in verdicts}
    examples = store.examples_by_id(sorted({example_id for example_id, _ in judged}))
    return Evidence(
        judge=judge,
        verdicts=verdicts,
        comparisons=comparisons,
        votes=[
            item
            for item in compared
            if item.rater_kind == "human"
            and item.example_id not in hidden
            and _unit(item) in judged
            and (not people or item.rater.startswith(tuple(people)))
        ],
        others=_rows(
            [item for item in every if item.rater != judge],
            [item for item in compared if item.rater_kind != "human" and item.rater != judge],
        ),
        answers=_answers(store, names, verdicts=verdicts, comparisons=comparisons),
        prompts={
            key: example.messages[-1].content
            for key, example in examples.items()
            if example.messages
        },
        categories={key: example.category for key, example in examples.items() if example.category},
        own=tuple(sorted({*own, *(itself & models)})),
    )


def _named(verdict: Verdict, names: Mapping[str, str]) -> Verdict:
    model_b = verdict.model_b or ""
    return replace(
        verdict,
        model_a=names.get(verdict.model_a, verdict.model_a),
        model_b=names.get(model_b, model_b),
    )


def _unit(item: Verdict | Comparison) -> tuple[str, frozenset[str]]:
    return item.example_id, frozenset((item.model_a, item.model_b or ""))


def _rows(verdicts: Iterable[Verdict], comparisons: Iterable[Comparison]) -> list[JudgedPair]:
    rows = [JudgedPair.from_verdict(item) for item in verdicts]
    seen = {(row.example, frozenset((row.model_a, row.model_b))) for row in rows}
    return rows + [
        row
        for row in _plain_rows(comparisons)
        if (row.example, frozenset((row.model_a, row.model_b))) not in seen
    ]


def _plain_rows(comparisons: Iterable[Comparison]) -> list[JudgedPair]:
    scores = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.5}
    return [
        JudgedPair(
            example=item.example_id,
            model_a=item.model_a,
            model_b=item.model_b,
            score_a=scores[item.winner],
        )
        for item in comparisons
    ]


def _answers(
    store: Store,
    names: Mapping[str, str],
    *,
    verdicts: Sequence[Verdict],
    comparisons: Sequence[Comparison],
) -> dict[AnswerKey, str]:
    """Read the answers judged: those that verdicts name, or else the models' latest ones."""
    wanted: dict[str, dict[str, str]] = {}
    example_ids: dict[str, set[str]] = {}
    for item in verdicts:
        unit = unit_name(item.example_id, item.turn)
        for model, key in ((item.model_a, item.answer_a), (item.model_b or "", item.answer_b)):
            if key:
                wanted.setdefault(model, {})[unit] = key
    for comparison in comparisons:
        for model in (comparison.model_a, comparison.model_b):
            if comparison.example_id not in wanted.get(model, {}):
                example_ids.setdefault(model, set()).add(comparison.example_id)
    fingerprints = {name: fingerprint for fingerprint, name in names.items()}
    found: dict[AnswerKey, str] = {}
    for model, keys in wanted.items():
        stored = store.responses(fingerprints.get(model, model), sorted(set(keys.values())))
        for unit, key in keys.items():
            if isinstance(answer := stored.get(key), Completion):
                found[model, unit] = answer.text
    for model, ids in example_ids.items():
        turns = store.conversations(fingerprints.get(model, model), sorted(ids))
        found |= {(model, key): answers[0].text for key, answers in turns.items() if answers}
    return found
