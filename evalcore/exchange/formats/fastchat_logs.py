"""The logs that FastChat's arena writes: lines of votes among others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from evalcore.errors import VotesError
from evalcore.exchange.conversations import prompt_example
from evalcore.exchange.identity import (
    imported_answers,
    imported_fingerprint,
    imported_model,
    vote_id,
)
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.exchange.rows import Row, read_lines
from evalcore.exchange.task_results import utc_text
from evalcore.hashing import content_hash
from evalcore.records import Comparison, Example, Generation, Winner

__all__ = ["LOG_FIELDS", "read_vote_log"]

LOG_FIELDS = frozenset({"tstamp", "type"})
_VOTES: Mapping[str, Winner] = {
    "leftvote": "model_a",
    "rightvote": "model_b",
    "tievote": "tie",
    "bothbad_vote": "both_bad",
}
_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class _Vote:
    comparison: Comparison
    models: tuple[str, str]
    example: Example
    answers: tuple[Generation, ...]


def read_vote_log(path: Path, context: ImportContext) -> Iterator[Parcel]:
    """Read a log, such as ``2023-05-10-conv.json``, of which each line is a JSON object.

    Lines whose ``type`` is no vote are counted and passed over, and so are votes between a model
    and itself, which the page lets visitors choose. The model on the left was shown first. Names of
    models are those of ``states``, which the log has even where the page did not show them. Who
    voted is known by a hash of the address; the address is not kept.

    Raises
    ------
    VotesError
        Naming file, line and what is permitted.
    """
    lines = read_lines(path)
    while some := list(islice(lines, _AT_ONCE)):
        found = [_vote(row, context) for row in some if str(row.fields.get("type")) in _VOTES]
        votes = [vote for vote in found if vote is not None]
        names = dict.fromkeys(name for vote in votes for name in vote.models)
        yield Parcel(
            source=path,
            n_read=len(some),
            models=[imported_model(name) for name in names],
            examples=list({vote.example.id: vote.example for vote in votes}.values()),
            answers=[answer for vote in votes for answer in vote.answers],
            comparisons=[vote.comparison for vote in votes],
            n_skipped=len(some) - len(votes),
        )


def _vote(row: Row, context: ImportContext) -> _Vote | None:
    row.needs("models", "states", "tstamp")
    states: Any = row.fields["states"]
    if not isinstance(states, list) or [isinstance(s, Mapping) for s in states] != [True, True]:
        raise VotesError(f"{row.where}: states must be two; got {states!r:.80}")
    models = _models(row, states)
    if models[0] == models[1]:
        return None
    asked, first = _said(row, states[0])
    _, second = _said(row, states[1])
    example = prompt_example(asked, where=row.where)
    created = utc_text(row.number("tstamp"), otherwise=context.now)
    own_id = str(states[0].get("conv_id") or "")
    address = str(row.fields.get("ip") or "")
    rater = content_hash(["address", address])[:16] if address else "anonymous"
    winner = _VOTES[row.text("type")]
    return _Vote(
        comparison=Comparison(
            id=vote_id("fastchat", own_id, repr(row.number("tstamp")), *models, winner, rater),
            example_id=example.id,
            model_a=imported_fingerprint(models[0]),
            model_b=imported_fingerprint(models[1]),
            winner=winner,
            rater=rater,
            rater_kind="human",
            swapped=False,
            created_utc=created,
        ),
        models=models,
        example=example,
        answers=tuple(
            answer
            for model, texts in zip(models, (first, second), strict=True)
            for answer in imported_answers(example, model, texts, created_utc=created)
        ),
    )


def _models(row: Row, states: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return names of both models, of the states or, where they have none, of what was shown."""
    shown: Any = row.fields["models"]
    names = []
    for place, state in enumerate(states):
        name = state.get("model_name") if isinstance(state, Mapping) else None
        if not name and isinstance(shown, list) and len(shown) == 2:
            name = shown[place]
        if not isinstance(name, str) or not name:
            raise VotesError(f"{row.where}: state {place + 1} has no model_name")
        names.append(name)
    return names[0], names[1]


def _said(row: Row, state: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return what the user and the model said; ``messages`` are pairs of role and text."""
    messages: Any = state.get("messages")
    if not isinstance(messages, list):
        raise VotesError(f"{row.where}: messages must be a list; got {messages!r:.80}")
    offset = state.get("offset")
    turns = messages[offset if isinstance(offset, int) else 0 :]
    if not all(isinstance(turn, list) and len(turn) > 1 for turn in turns):
        raise VotesError(f"{row.where}: messages must be pairs of role and text; got {turns!r:.80}")
    texts = [_text(turn[1]) for turn in turns]
    if not texts:
        raise VotesError(f"{row.where}: a vote on an empty conversation")
    asked, said = texts[0::2], texts[1::2]
    return asked, said[: len(asked)]


def _text(said: Any) -> str:
    """Return a message's text; with pictures it is a pair of the text and those."""
    if isinstance(said, list) and said:
        said = said[0]
    return said if isinstance(said, str) else ""
