"""Votes together with what was voted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evalcore.codec import example_from
from evalcore.hashing import content_hash
from evalcore.records import Comparison, Example, Message, RaterKind
from evalcore.stats.vote_source import unique_names
from evalcore.store import Store, schema
from evalcore.store.arena_schema import answer, battle
from evalcore.store.responses import AnswerChain

__all__ = ["Judged", "judged_comparisons", "public_rater"]

_AT_ONCE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A comparison with both conversations; models and rater as an export names them."""

    comparison: Comparison
    conversation_a: tuple[Message, ...]
    """Prompt and answers turn by turn; empty where the answers are not in the workspace."""
    conversation_b: tuple[Message, ...]
    n_prompt: int
    """How many messages at the beginning are the prompt, the same in both."""


def judged_comparisons(
    store: Store, *, kinds: Sequence[RaterKind] = ("human",)
) -> Iterator[Judged]:
    """Yield votes with their conversations, oldest first.

    Answers are those that were shown, with names masked; where a comparison comes from no battle,
    those that the workspace held of both models at its time. People who voted here go by
    pseudonyms.
    """
    names = unique_names(store)
    comparisons = store.comparisons_with_source(kinds=kinds)
    while chunk := list(islice(comparisons, _AT_ONCE)):
        with store.engine.connect() as connection:
            yield from _judged(connection, store, chunk, names=names)


def _judged(
    connection: Connection,
    store: Store,
    traced: Sequence[tuple[Comparison, int | None]],
    *,
    names: Mapping[str, str],
) -> Iterator[Judged]:
    chunk = [found for found, _ in traced]
    examples = _examples(connection, {found.example_id for found in chunk})
    shown = _shown(connection, {_battle_id(found) for found in chunk})
    stored = _stored(
        store, [found for found in chunk if (_battle_id(found), found.model_a) not in shown]
    )
    for found, source in traced:
        example = examples.get(found.example_id)
        texts = [
            shown.get((_battle_id(found), model))
            or _answered_by(found.created_utc, stored.get((found.example_id, model), ()))
            for model in (found.model_a, found.model_b)
        ]
        a, b = (_conversation(example, answers) for answers in texts)
        yield Judged(
            comparison=replace(
                found,
                model_a=names.get(found.model_a, found.model_a),
                model_b=names.get(found.model_b, found.model_b),
                rater=public_rater(found.rater, found.rater_kind, source),
            ),
            conversation_a=a,
            conversation_b=b,
            n_prompt=len(example.messages) if example is not None else 0,
        )


def _battle_id(comparison: Comparison) -> str:
    """Return the battle that a comparison comes from; a ranking's have two places behind it."""
    return comparison.id.partition(".")[0]


@lru_cache(maxsize=65536)
def public_rater(rater: str, kind: str, source: int | None) -> str:
    """Return what stands for a person; judges, and people whom a file named, keep their names."""
    if kind != "human" or source is not None:
        return rater
    return content_hash(["exported rater", rater])[:16]


def _examples(connection: Connection, ids: set[str]) -> dict[str, Example]:
    query = schema.example.select().where(schema.example.c.id.in_(ids))
    return {row.id: example_from(row.content) for row in connection.execute(query)}


def _shown(connection: Connection, battle_ids: set[str]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Answers turn by turn, by battle and model."""
    query = (
        sa.select(battle.c.id, battle.c.models, battle.c.sides, answer.c.position, answer.c.text)
        .join_from(battle, answer, answer.c.battle_id == battle.c.id)
        .where(battle.c.id.in_(battle_ids))
        .order_by(battle.c.id, answer.c.position, answer.c.turn)
    )
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in connection.execute(query):
        key = row.id, row.models[row.sides[row.position]]
        found[key] = (*found.get(key, ()), row.text)
    return found


def _stored(
    store: Store, comparisons: Sequence[Comparison]
) -> dict[tuple[str, str], list[AnswerChain]]:
    """Answers in the workspace, by example and model."""
    wanted = {
        (found.example_id, model)
        for found in comparisons
        for model in (found.model_a, found.model_b)
    }
    return store.answer_chains(sorted(wanted))


def _answered_by(time_utc: str, chains: Sequence[AnswerChain]) -> tuple[str, ...]:
    """Return the newest answers that were there when somebody voted; the newest where none were."""
    there = [chain for chain in chains if chain.created_utc <= time_utc] or chains
    return there[-1].texts if there else ()


def _conversation(example: Example | None, answers: Sequence[str]) -> tuple[Message, ...]:
    """Put prompt, answers and what the user said in between into order; empty if any is missing."""
    if example is None or not answers or len(answers) != 1 + len(example.follow_ups):
        return ()
    messages = [*example.messages, Message(role="assistant", content=answers[0])]
    for asked, said in zip(example.follow_ups, answers[1:], strict=True):
        messages += [
            Message(role="user", content=asked),
            Message(role="assistant", content=said),
        ]
    return tuple(messages)
