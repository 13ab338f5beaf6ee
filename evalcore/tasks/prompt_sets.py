"""Prompt sets: questions without references, for answers that people or judges compare."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalcore.errors import TaskError
from evalcore.records import Example
from evalcore.tasks.examples import LineTemplates, example_from_fields, read_jsonl, unique

__all__ = ["prompt_fields", "read_prompts"]


def read_prompts(path: Path) -> list[Example]:
    """Read prompts from a file.

    A ``.txt`` file has one prompt a line. A ``.jsonl`` file has one JSON text or object a line;
    an object names the prompt ``prompt``, ``text``, ``instruction``, ``messages``, or ``turns``
    (what the user says, turn by turn: texts, or objects with ``content``), and may have ``id``
    (or ``question_id`` or ``uid``), ``category``, ``group`` and ``reference``: a text, or a list
    of one for each turn.

    Raises
    ------
    TaskError
        Naming file and line, also for two equal prompts and for a file without any.
    """
    numbered = []
    for number, content in _lines(path):
        where = f"{path}, line {number}"
        fields = prompt_fields(content, where=where)
        example = example_from_fields(fields, LineTemplates(), where=where, folder=path.parent)
        numbered.append((number, example))
    return unique(numbered, path)


def _lines(path: Path) -> list[tuple[int, Any]]:
    if path.suffix != ".txt":
        return list(read_jsonl(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise TaskError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise TaskError(f"{path}: can't be read: {error.strerror}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def prompt_fields(content: Any, *, where: str) -> Mapping[str, Any]:
    """Return a line's fields under our names, whichever of those known it uses."""
    if isinstance(content, str):
        return {"prompt": content}
    if not isinstance(content, dict):
        raise TaskError(f"{where}: must be a text or a JSON object; got {type(content).__name__}")
    fields = dict(content)
    for own_id in ("question_id", "uid"):
        if own_id in fields:
            fields.setdefault("id", fields[own_id])
    if isinstance(fields.get("reference"), list):
        fields.setdefault("references", fields.pop("reference"))
    if "instruction" in fields:
        fields.setdefault("prompt", fields["instruction"])
    if "turns" in fields:
        turns = fields.pop("turns")
        if not isinstance(turns, list) or not turns:
            raise TaskError(f"{where}: turns must be a list of texts; got {turns!r:.80}")
        first, *others = map(_said, turns)
        fields.setdefault("prompt", first)
        fields.setdefault("follow_ups", others)
    return fields


def _said(turn: Any) -> Any:
    """Return a turn's text, which version 0.1 of Arena-Hard puts into an object."""
    return turn.get("content") if isinstance(turn, dict) else turn
