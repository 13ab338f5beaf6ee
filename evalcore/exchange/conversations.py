"""Conversations with a model as a prompt, what the user says next, and the model's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalcore.errors import VotesError
from evalcore.records import Example
from evalcore.tasks.examples import LineTemplates, example_from_fields

__all__ = ["Conversation", "prompt_example", "split_conversation"]

_USERS = ("user", "human")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What was said, by whom."""

    system: str
    asked: tuple[str, ...]
    """By the user, turn by turn."""
    said: tuple[str, ...]
    """By the model; as many, or one fewer where the last answer is missing."""


def split_conversation(messages: Any, where: str) -> Conversation:
    """Take a conversation apart.

    Parameters
    ----------
    messages
        A list of ``role`` and ``content``; content may be a list of parts, of which those of type
        ``text`` count.
    where
        File, line and field, for messages.

    Raises
    ------
    VotesError
        Unless user and assistant take turns, after at most one message of the system.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise VotesError(f"{where} must be a list of role and content; got {messages!r:.80}")
    turns = [_message(message, where) for message in messages]
    system = turns.pop(0)[1] if turns[0][0] == "system" else ""
    expected = [(turn % 2 == 0) for turn in range(len(turns))]
    if not turns or [role in _USERS for role, _ in turns] != expected:
        roles = ", ".join(role for role, _ in turns[:6])
        raise VotesError(
            f"{where}: user and assistant must take turns; got {roles or 'nothing':.80}"
        )
    return Conversation(
        system=system,
        asked=tuple(text for _, text in turns[0::2]),
        said=tuple(text for _, text in turns[1::2]),
    )


def prompt_example(
    asked: Sequence[str],
    *,
    system: str = "",
    category: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    where: str,
) -> Example:
    """Make an example of what a user said, with the id that it has in a prompt set.

    Category and metadata are no part of the id: the same words are the same prompt.
    """
    first = asked[0] if asked[0].strip() else "(empty)"
    messages = [{"role": "user", "content": first}]
    if system.strip():
        messages.insert(0, {"role": "system", "content": system})
    fields = {"messages": messages, "follow_ups": list(asked[1:])}
    plain = example_from_fields(fields, LineTemplates(), where=where)
    return replace(plain, category=category, metadata=dict(metadata or {}))


def _message(message: Any, where: str) -> tuple[str, str]:
    if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
        raise VotesError(f"{where} must be a list of role and content; got {message!r:.80}")
    return str(message["role"]), _text(message["content"])


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return "" if content is None else str(content)
    texts = [
        str(part.get("text") or "") if isinstance(part, Mapping) else str(part) for part in content
    ]
    return "\n".join(text for text in texts if text)
