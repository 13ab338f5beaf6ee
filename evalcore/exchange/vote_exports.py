"""Rows of the formats that are made of votes, with what was voted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from evalcore.exchange.judged import Judged
from evalcore.records import Comparison, Message

__all__ = ["FORMATS", "LeftOut", "Rows", "vote_fields", "why_no_row"]

LeftOut = Literal["ties", "without_answers"]

Row = dict[str, Any]
Rows = Callable[[Judged], Iterator[Row]]


def _vote(judged: Judged) -> Iterator[Row]:
    """Our own vote file, which ``parity rate`` and ``parity compare`` read."""
    yield vote_fields(judged.comparison)


def vote_fields(found: Comparison) -> Row:
    """Return the fields of a vote file, as they are named there."""
    return {
        "id": found.id,
        "example_id": found.example_id,
        "model_a": found.model_a,
        "model_b": found.model_b,
        "winner": found.winner,
        "rater": found.rater,
        "rater_kind": found.rater_kind,
        "swapped": found.swapped,
        "created_utc": found.created_utc,
        "explanation": found.explanation,
    }


def _lmarena(judged: Judged) -> Iterator[Row]:
    """LMArena's cleaned battles; model A is the one that was shown first, as there.

    ``rater_kind`` is a field of ours, which other readers pass over: the format knows people only.
    """
    found = judged.comparison
    if not judged.conversation_a or not judged.conversation_b:
        return
    sides = [(found.model_a, judged.conversation_a), (found.model_b, judged.conversation_b)]
    winner = {"both_bad": "tie (bothbad)"}.get(found.winner, found.winner)
    if found.swapped:
        sides.reverse()
        winner = {"model_a": "model_b", "model_b": "model_a"}.get(winner, winner)
    yield {
        "question_id": found.id,
        "model_a": sides[0][0],
        "model_b": sides[1][0],
        "winner": winner,
        "judge": f"arena_user_{found.rater}" if found.rater_kind == "human" else found.rater,
        "conversation_a": _plain(sides[0][1]),
        "conversation_b": _plain(sides[1][1]),
        "turn": sum(message.role == "user" for message in judged.conversation_a),
        "anony": True,
        "language": "unknown",
        "tstamp": datetime.fromisoformat(found.created_utc).timestamp(),
        "rater_kind": found.rater_kind,
    }


def _plain(messages: Sequence[Message]) -> list[Row]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _dpo(judged: Judged) -> Iterator[Row]:
    """TRL's preference format as conversations; ties and both bad prefer nothing and are left."""
    winner = judged.comparison.winner
    if winner not in ("model_a", "model_b"):
        return
    pair = [judged.conversation_a, judged.conversation_b]
    chosen, rejected = pair if winner == "model_a" else pair[::-1]
    if chosen and rejected:
        prompt = chosen[: judged.n_prompt]
        yield {
            "prompt": _plain(prompt),
            "chosen": _plain(chosen[judged.n_prompt :]),
            "rejected": _plain(rejected[judged.n_prompt :]),
        }


def _reward(judged: Judged) -> Iterator[Row]:
    """TRL's preference format with the prompt in both conversations, as reward models want it."""
    for row in _dpo(judged):
        yield {name: row["prompt"] + row[name] for name in ("chosen", "rejected")}


def _kto(judged: Judged) -> Iterator[Row]:
    """TRL's unpaired preference format: two answers of a decided vote or of both bad."""
    labels: Mapping[str, Sequence[bool]] = {
        "model_a": (True, False),
        "model_b": (False, True),
        "both_bad": (False, False),
    }
    conversations: Sequence[tuple[Message, ...]] = (judged.conversation_a, judged.conversation_b)
    if not all(conversations):
        return
    for messages, label in zip(
        conversations, labels.get(judged.comparison.winner, ()), strict=False
    ):
        yield {
            "prompt": _plain(messages[: judged.n_prompt]),
            "completion": _plain(messages[judged.n_prompt :]),
            "label": label,
        }


FORMATS: dict[str, Rows] = {
    "votes": _vote,
    "lmarena": _lmarena,
    "trl_dpo": _dpo,
    "trl_reward": _reward,
    "trl_kto": _kto,
}
"""By name, as the command line has them."""


def why_no_row(judged: Judged) -> LeftOut:
    """Say why a vote made no row: nothing is preferred, or an answer is not in the workspace."""
    both = judged.conversation_a and judged.conversation_b
    return "ties" if both else "without_answers"
