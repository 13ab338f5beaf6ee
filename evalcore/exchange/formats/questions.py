"""Questions that other files name by id."""

from __future__ import annotations

from pathlib import Path

from evalcore.exchange.prompts import Prompts
from evalcore.exchange.records import ImportContext, Parcel
from evalcore.records import Example
from evalcore.tasks.prompt_sets import read_prompts

__all__ = ["QuestionBook"]


class QuestionBook:
    """The questions known so far: those of ``-p``, and of the question files read."""

    def __init__(self, context: ImportContext) -> None:
        self.examples = list(context.prompts)
        self._prompts = Prompts(self.examples)

    def read(self, path: Path) -> Parcel:
        """Read a file of questions.

        Raises
        ------
        InputError
            Naming file and line, also for two questions with one id.
        """
        found = read_prompts(path)
        self.examples += found
        self._prompts = Prompts(self.examples)
        return Parcel(source=path, n_read=len(found), examples=found)

    def by_id(self, question_id: str) -> Example:
        """Return a question; where its text is not known one that has just this id."""
        return self._prompts.by_id(question_id)
