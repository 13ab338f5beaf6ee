"""Texts on which a model and its quantised forms are compared token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from evalcore.errors import InputError
from evalcore.hashing import content_hash
from evalcore.protocols import Task
from evalcore.records import Example, Message
from evalcore.tasks.prompt_sets import read_prompts

__all__ = ["texts_of"]


def texts_of(tasks: Sequence[Task], files: Sequence[Path], *, n_texts: int) -> tuple[Example, ...]:
    """Return distinct texts, as many as wanted and there.

    Parameters
    ----------
    tasks
        Where there are no files: what their examples say, with the first right answer behind it,
        one from each task in turns.
    files
        As :func:`~evalcore.tasks.prompt_sets.read_prompts` takes them; each prompt is a text.
    n_texts
        Most texts, at least 1.

    Raises
    ------
    InputError
        If there are none.
    """
    found: Iterable[str]
    if files:
        found = (_said(example) for file in files for example in read_prompts(file))
    else:
        columns = [[_text(example) for example in task.examples] for task in tasks]
        found = (text for text in chain.from_iterable(zip_longest(*columns)) if text)
    texts = list(dict.fromkeys(text for text in found if text.strip()))[:n_texts]
    if not texts:
        raise InputError("there are no texts to compare on; give some with --texts FILE")
    return tuple(
        Example(id=content_hash(["text", text]), messages=(Message(role="user", content=text),))
        for text in texts
    )


def _text(example: Example) -> str:
    answer = (example.references or example.choices or ("",))[0]
    said = _said(example)
    return f"{said} {answer}" if answer and answer != said else said


def _said(example: Example) -> str:
    return "\n".join(message.content for message in example.messages)
