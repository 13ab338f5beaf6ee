"""Stored answers as AlpacaEval's model outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from evalcore.errors import InputError
from evalcore.exchange.exporting import Exported
from evalcore.exchange.writing import write_rows
from evalcore.records import Example
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store, schema

__all__ = ["chosen_models", "export_alpaca_eval"]

_AT_ONCE = 400


def export_alpaca_eval(path: Path, store: Store, *, models: Sequence[str] | None) -> Exported:
    """Write the newest answer of each model to each prompt of one user's message.

    Prompts of several turns, or with a system message, have no place in the format; they are
    counted under ``several_messages``. Answers to prompts that the workspace does not hold, such as
    a judge's replies, are no model outputs.

    Raises
    ------
    InputError
        For a model that isn't there, and a file that can't be written.
    """
    done = Exported(path=path, format="alpaca_eval")
    write_rows(path, _rows(store, models, done))
    return done


def chosen_models(store: Store, models: Sequence[str] | None) -> dict[str, str]:
    """Return the names of models by fingerprint; of all unless some are named.

    Raises
    ------
    InputError
        For a name that no model has.
    """
    names = unique_names(store)
    known = {key: names.get(key, key) for key in store.models()}
    if models is None:
        return known
    for model in models:
        if model not in known.values():
            raise InputError(
                f"--model must be one of {', '.join(sorted(known.values())) or 'none'}; "
                f"got {model!r}"
            )
    return {key: name for key, name in known.items() if name in models}


def _rows(store: Store, models: Sequence[str] | None, done: Exported) -> Iterator[dict[str, Any]]:
    for fingerprint, name in sorted(chosen_models(store, models).items(), key=lambda m: m[1]):
        ids = _answered(store, fingerprint)
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            examples = store.examples_by_id(some)
            answers = store.conversations(fingerprint, [key for key in some if key in examples])
            for key, chain in answers.items():
                done.n_facts += 1
                example = examples[key]
                if len(example.messages) != 1 or example.follow_ups or len(chain) != 1:
                    done.left_out["several_messages"] += 1
                    continue
                done.n_rows += 1
                yield _row(example, chain[0].text, name)


def _row(example: Example, text: str, name: str) -> dict[str, Any]:
    return {
        "instruction": example.messages[0].content,
        "output": text,
        "generator": name,
        "dataset": example.category,
        "datasplit": "eval",
    }


def _answered(store: Store, fingerprint: str) -> list[str]:
    """Return the examples that a model has answered, sorted."""
    columns = schema.generation.c
    query = (
        sa.select(columns.example_id)
        .where(columns.fingerprint == fingerprint)
        .distinct()
        .order_by(columns.example_id)
    )
    with store.engine.connect() as connection:
        return list(connection.scalars(query))
