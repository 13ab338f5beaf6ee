"""From an example to the prompt that a model sees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from evalcore.protocols import Prompt
from evalcore.records import Example, Image, Message
from evalcore.tasks.definition import Fewshot

__all__ = ["Asked", "PromptBuilder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model is asked and shown."""

    prompt: Prompt
    """Messages for a chat template, else plain text."""
    images: tuple[Image, ...]
    image_turns: tuple[int, ...]
    """As :class:`~evalcore.protocols.GenerateRequest` has it; only worked examples need them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBuilder:
    """Puts system prompt, worked examples and question together."""

    system: str | None
    chat: bool
    answer_prefix: str
    """Stands between a question and its answer."""
    fewshot: Fewshot
    pool: Sequence[Example] = ()
    """Worked examples to take from, each with a reference."""

    def build(self, example: Example) -> Asked:
        """Return the prompt with the pictures of the worked examples and of the question."""
        shots = self._shots(example)
        prompt = self._messages(example, shots) if self.chat else self._text(example, shots)
        shown = [image for item in (*shots, example) for image in item.images]
        turns = self._image_turns(example, shots) if shots and shown else []
        return Asked(prompt=prompt, images=tuple(shown), image_turns=tuple(turns))

    def _shots(self, example: Example) -> Sequence[Example]:
        n = self.fewshot.n
        if n == 0:
            return ()
        # An example must not be shown its own answer.
        others = [shot for shot in self.pool if _shown(shot) != _shown(example)]
        if self.fewshot.draw == "fixed":
            return others[:n]
        # Drawn from the id, so that neither order nor number of examples changes a prompt.
        return random.Random(f"{self.fewshot.seed}/{example.id}").sample(others, n)  # noqa: S311

    def _messages(self, example: Example, shots: Sequence[Example]) -> tuple[Message, ...]:
        opening = [Message(role="system", content=self.system)] if self.system else []
        worked = [
            turn
            for shot in shots
            for turn in (*shot.messages, Message(role="assistant", content=shot.references[0]))
        ]
        return (*opening, *worked, *example.messages)

    def _image_turns(self, example: Example, shots: Sequence[Example]) -> list[int]:
        """Say in which message of a conversation each picture stands: its own example's first."""
        turns = []
        at = int(bool(self.system))
        for item in (*shots, example):
            roles = [message.role for message in item.messages]
            turns += [at + roles.index("user")] * len(item.images)
            at += len(roles) + 1  # the worked answer comes behind
        return turns

    def _text(self, example: Example, shots: Sequence[Example]) -> str:
        parts = [self.system] if self.system else []
        parts += [
            shot.messages[-1].content + self.answer_prefix + shot.references[0] for shot in shots
        ]
        return self.fewshot.separator.join([*parts, example.messages[-1].content])


def _shown(example: Example) -> tuple[object, ...]:
    return example.messages, [image.sha256 for image in example.images]
