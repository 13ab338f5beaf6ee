"""Which models of a workspace should not be ranked by judges."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from evalcore.judges.attacks import AnswerCheck, check_answers
from evalcore.store import Store
from evalcore.votes.columns import Votes

__all__ = ["check_model", "flagged_among", "flagged_models"]

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
    votes = store.votes(kinds=["judge"])
    return {} if votes is None else flagged_among(store, votes)


def flagged_among(store: Store, verdicts: Votes) -> dict[str, str]:
    """Name models whose answers work on judges, among those that some verdicts compare.

    Parameters
    ----------
    store
        The workspace.
    verdicts
        Of judges; models go by their fingerprints.
    """
    examples = verdicts.example
    if examples is None:
        return {}
    checks = {}
    for fingerprint in store.answering(verdicts.models):
        code = verdicts.models.index(fingerprint)
        rows = (verdicts.model_a == code) | (verdicts.model_b == code)
        judged = np.unique(examples.codes[rows])
        checks[fingerprint] = check_model(
            store, fingerprint, [examples.names[code] for code in judged if code >= 0]
        )
    return {model: check.words for model, check in checks.items() if check.is_flagged}
