"""What a stub server says: scripted or recorded replies, and faults at given places."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from evalcore.errors import InputError

__all__ = ["FAULTS", "Fault", "StubReply", "StubScript", "last_turn", "read_recorded", "turn_text"]

Fault = Literal["drop", "429", "500", "garbage", "half", "cut", "stall", "other_model", "quota"]
"""``drop`` closes the connection; ``429`` and ``500`` are statuses; ``garbage`` is no JSON;
``half`` breaks off within it, and ``cut`` the connection too; ``stall`` never answers;
``other_model`` answers under another name; ``quota`` says that nothing more will be answered."""
FAULTS: tuple[Fault, ...] = get_args(Fault)

_RECORDED = (
    ("prompt", "text"),
    ("user_prompt", "judgment"),
    ("g1_user_prompt", "g1_judgment"),
    ("g2_user_prompt", "g2_judgment"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StubReply:
    """An answer."""

    text: str
    first_token_logprobs: Mapping[str, float] = field(default_factory=dict)
    """Reported where they are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StubScript:
    """How a stub server behaves."""

    answer: Callable[[str], StubReply | None] = lambda _prompt: StubReply(text="[[A]]")
    """Answers the last turn of a prompt; None is HTTP 400."""
    latency_s: float = 0.0
    """From a request to its answer."""
    model: str | None = None
    """Name that it answers under; None repeats the one asked for."""
    faults: tuple[Fault | None, ...] = ()
    """Of the first calls, in the order they arrive; None is none."""
    fault_rate: float = 0.0
    """Share of all later calls that fail, each in one of ``fault_kinds``."""
    fault_kinds: tuple[Fault, ...] = ("drop", "429", "500", "garbage", "half")
    seed: int = 0
    """Decides which calls fail."""
    retry_after: str | None = None
    """Header that comes with 429."""
    quota: int | None = None
    """Answers after which there are no more."""
    api_key: str | None = None
    """Key without which the status is 401; None takes any."""
    refuses: tuple[str, ...] = ()
    """Fields of a request that it answers with 400."""
    echoes: bool = True
    """Whether completions echo a prompt's log-probabilities when asked to."""
    tokenises: bool = True
    """Whether there is a ``/tokenize``, as vLLM has."""

    def fault(self, n_call: int) -> Fault | None:
        """Return what goes wrong with a call, the first being number 0."""
        if n_call < len(self.faults):
            return self.faults[n_call]
        if not self.fault_rate:
            return None
        rng = random.Random(f"{self.seed}:{n_call}")  # noqa: S311 - it decides which calls fail
        return rng.choice(self.fault_kinds) if rng.random() < self.fault_rate else None


def last_turn(body: Mapping[str, Any]) -> str:
    """Return the text that a request ends with."""
    messages = body.get("messages")
    return turn_text(messages[-1]) if messages else str(body.get("prompt", ""))


def turn_text(turn: Mapping[str, Any]) -> str:
    """Return a turn's text, without the pictures that stand among its parts."""
    content = turn["content"]
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def read_recorded(path: Path) -> dict[str, StubReply]:
    """Read recorded verdicts, by the user message that was answered.

    Parameters
    ----------
    path
        JSONL of ``prompt`` and ``text``, with ``first_token_logprobs`` where there are any, or of
        FastChat's judgments: ``user_prompt`` and ``judgment``, or both of them as ``g1_`` and
        ``g2_``.

    Raises
    ------
    InputError
        For a line that is none of these; names it.
    """
    replies: dict[str, StubReply] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"recorded verdicts {path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found = _replies_of(line)
            if not found:
                raise InputError(
                    f"{path}, line {number}: needs prompt and text, user_prompt and judgment, or "
                    "g1_user_prompt and g1_judgment"
                )
            replies |= found
    return replies


def _replies_of(line: str) -> dict[str, StubReply]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(row, dict):
        return {}
    logprobs = row.get("first_token_logprobs") or {}
    return {
        row[prompt]: StubReply(text=row[text], first_token_logprobs=logprobs)
        for prompt, text in _RECORDED
        if isinstance(row.get(prompt), str) and isinstance(row.get(text), str)
    }
