"""How the harness is to make its prompts, said behind a task's name as its own options are.

::

    lm_eval:NAME[?apply_chat_template&fewshot_as_multiturn=false&system_instruction=TEXT&num_fewshot=5]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import quote, unquote

from evalcore.errors import TaskError
from evalcore.protocols import Prompt
from evalcore.records import Message

__all__ = ["HarnessSettings", "prompt_of", "split_settings", "stand_in"]

_TURNS = "\0turns:"


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessSettings:
    """How prompts are made; the defaults are the harness's."""

    apply_chat_template: bool = False
    """Whether each model is asked in turns, through its own template."""
    fewshot_as_multiturn: bool = True
    """Whether worked examples are turns of their own, or part of the question's."""
    system_instruction: str | None = None
    """Stands before everything; in turns as the system's."""
    num_fewshot: int | None = None
    """Worked examples; None for as many as the task's definition says."""

    @property
    def words(self) -> str:
        """What is behind a task's name if these are its settings; empty for the defaults."""
        given = [f"{name}{_word(value)}" for name, value in self.unusual.items()]
        return f"?{'&'.join(given)}" if given else ""

    @property
    def unusual(self) -> Mapping[str, bool | int | str]:
        """The settings that are not the defaults, by name."""
        own, usual = asdict(self), asdict(HarnessSettings())
        return {name: value for name, value in own.items() if value != usual[name]}


def split_settings(text: str) -> tuple[str, HarnessSettings]:
    """Read a task's name or path and the settings behind it.

    Parameters
    ----------
    text
        Without ``lm_eval:``. A setting that is true needs no value; in a text, ``%26`` is ``&`` and
        ``%0A`` the end of a line.

    Raises
    ------
    TaskError
        For an unknown setting, one that is said twice, and a value that is not permitted.
    """
    name, _, query = text.partition("?")
    given: dict[str, Any] = {}
    known = [field.name for field in fields(HarnessSettings)]
    for pair in query.split("&") if query else ():
        key, equals, value = pair.partition("=")
        if key not in known:
            raise TaskError(
                f"lm_eval:{text}: setting must be one of {', '.join(known)}; got {key!r}"
            )
        if key in given:
            raise TaskError(f"lm_eval:{text}: setting {key} is said twice")
        given[key] = _value(key, unquote(value) if equals else "true", where=text)
    settings = HarnessSettings(**given)
    if given.get("fewshot_as_multiturn") and not settings.apply_chat_template:
        raise TaskError(f"lm_eval:{text}: fewshot_as_multiturn needs apply_chat_template")
    return name, settings


def stand_in(turns: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
    """Return a text that stands for turns where the harness wants them written by a template.

    The models that will be asked have templates of their own, which write them later.
    """
    if add_generation_prompt == (turns[-1]["role"] == "assistant"):
        raise TaskError("a task must end its turns by the user's, or leave the assistant's open")
    return _TURNS + json.dumps([[turn["role"], turn["content"]] for turn in turns])


def prompt_of(text: str) -> Prompt:
    """Return the turns that a text stands for, or the text itself.

    Raises
    ------
    TaskError
        If the task has put something around the turns.
    """
    before, mark, form = text.partition(_TURNS)
    if not mark:
        return text
    try:
        turns = json.loads(form)
    except ValueError:
        turns = None
    if before or turns is None:
        raise TaskError("the task writes text around the chat template's, which is not done")
    return tuple(Message(role=role, content=content) for role, content in turns)


def _value(key: str, value: str, *, where: str) -> bool | int | str:
    if key == "system_instruction":
        return value
    if key == "num_fewshot":
        if value.isdecimal():
            return int(value)
        raise TaskError(f"lm_eval:{where}: num_fewshot must be 0 or more; got {value!r}")
    if value not in ("true", "false"):
        raise TaskError(f"lm_eval:{where}: {key} must be true or false; got {value!r}")
    return value == "true"


def _word(value: bool | int | str) -> str:
    if isinstance(value, bool):
        return "" if value else "=false"
    return "=" + re.sub(r"[%&\x00-\x1f]", lambda found: quote(found[0]), str(value))
