"""Prompts of which a file has nothing but the id, or the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from evalcore.exchange.identity import short_id
from evalcore.records import Example
from evalcore.tasks.examples import LineTemplates, example_from_fields

__all__ = ["Prompts"]


class Prompts:
    """Prompts by their ids in a file, or made of their texts."""

    def __init__(self, examples: Sequence[Example] = ()) -> None:
        self._by_id = {str(item.metadata["id"]): item for item in examples if "id" in item.metadata}

    def by_id(self, question_id: str) -> Example:
        """Return a prompt; where its text is not known one that has just this id."""
        return self._by_id.get(question_id) or Example(id=short_id(question_id), messages=())

    @staticmethod
    def of_text(text: str, *, category: str | None, where: str) -> Example:
        """Make a prompt of its text, with the id that it has in a prompt set."""
        plain = example_from_fields({"prompt": text}, LineTemplates(), where=where)
        return replace(plain, category=category)
