"""The bundled tiny family as an arena that needs nothing else: no network, no weights to fetch."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from arena.live.settings import LiveSettings
from evalcore.records import Example, SamplingParams
from evalcore.tasks import load_task

__all__ = ["DEMO_MODELS", "DEMO_SETTINGS", "demo_prompts"]

_INSTRUCT, _MATH, _STYLE = (f"+lora:zoo:tiny-{name}" for name in ("instruct", "math", "style"))

DEMO_MODELS: Final = (
    "base=zoo:tiny",
    f"instruct=zoo:tiny{_INSTRUCT}",
    f"instruct+math=zoo:tiny{_INSTRUCT}{_MATH}",
    f"instruct+style=zoo:tiny{_INSTRUCT}{_STYLE}",
    f"instruct+math+style=zoo:tiny{_INSTRUCT}{_MATH}{_STYLE}",
)
"""Variants of one base, which is loaded once."""

DEMO_SETTINGS: Final = LiveSettings(
    params=SamplingParams(max_new_tokens=64, temperature=0.7),
    most_prompt_characters=160,
)
"""The family reads 256 tokens, each a letter or a part of a word."""

_TASKS: Final = ("tiny-instructions", "tiny-arithmetic", "tiny-style")


def demo_prompts() -> list[Example]:
    """Return what the family was made to answer: the prompts of its tasks, without the answers."""
    examples = [example for name in _TASKS for example in load_task(name).examples]
    return [replace(example, references=(), metadata={}) for example in examples]
