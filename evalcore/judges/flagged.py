"""Which models of a workspace should not be ranked by judges."""

from __future__ import annotations

from collections.abc import Collection

from evalcore.judges.attacks import AnswerCheck, check_answers
from evalcore.store import Store

__all__ = ["check_model", "flagged_models"]

_MOST_ANSWERS = 200
"""Enough to see what a model does in one answer of twenty, and quick."""


def check_model(store: Store, fingerprint: str, example_ids: Collection[str]) -> AnswerCheck:
    """Check up to 200 of a model's answers to some examples, the same ones each time."""
    some = sorted(example_ids)[:_MOST_ANSWERS]
    prompts = {
        key: "\n\n".join(message.content for message in example.messages)
        for key, example in store.examples_by_id(some).items()
    }
    turns = store.conversations(fingerprint, some)
    answers = {key: "\n\n".join(turn.text for turn in said) for key, said in turns.items()}
    return check_answers(answers, prompts)


def flagged_models(store: Store) -> dict[str, str]:
    """Name models whose answers work on judges, among those that judges have compared.

    Returns
    -------
    dict
        What was found, in words, by fingerprint; models whose answers are not in the workspace
        can't be checked.
    """
    judged: dict[str, set[str]] = {}
    for item in store.comparisons(kinds=["judge"]):
        for model in (item.model_a, item.model_b):
            judged.setdefault(model, set()).add(item.example_id)
    checks = {model: check_model(store, model, ids) for model, ids in sorted(judged.items())}
    return {model: check.words for model, check in checks.items() if check.is_flagged}
