"""Write the bundled tasks' examples: ``python -m runners.zoo.tasks --out evalcore/tasks/bundled``.

Everything is drawn from the part of the world that training never sees. How a task is asked and
scored stands in the YAML file beside its examples, which is written by hand.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from runners.zoo.corpus import held_out_text, passage
from runners.zoo.exchanges import (
    ADDITIONS,
    INSTRUCTIONS,
    READINGS,
    Exchange,
    addition,
    in_style,
    instruction,
    reading,
)
from runners.zoo.world import make_split

__all__ = ["TASKS", "examples", "main"]

Line = Mapping[str, Any]

_SEED = 71
_N_EXAMPLES = 600
_N_PASSAGES = 200


def examples(task: str) -> Iterator[Line]:
    """Yield a task's lines, the same ones each time; `task` is one of :data:`TASKS`."""
    return TASKS[task](random.Random(f"{_SEED} {task}"))  # noqa: S311


def _arithmetic(rng: random.Random) -> Iterator[Line]:
    """Yield each held-out pair once: no example helps or hurts another."""
    part = make_split().held_out
    exchanges = (
        addition(rng, part, pair, category=_turn(ADDITIONS, i))
        for i, pair in enumerate(part.pairs[:_N_EXAMPLES])
    )
    return _numbered("arithmetic", exchanges)


def _instructions(rng: random.Random) -> Iterator[Line]:
    part = make_split().held_out
    exchanges = (instruction(rng, part, _turn(INSTRUCTIONS, i)) for i in range(2 * _N_EXAMPLES))
    return _numbered("instructions", _distinct(exchanges))


def _style(rng: random.Random) -> Iterator[Line]:
    part = make_split().held_out
    exchanges = (in_style(reading(rng, part, _turn(READINGS, i))) for i in range(2 * _N_EXAMPLES))
    return _numbered("style", _distinct(exchanges))


def _choice(rng: random.Random) -> Iterator[Line]:
    """Yield two questions a passage, which form a group, and sums beside near misses."""
    part = make_split().held_out
    for i in range(_N_PASSAGES):
        drawn = passage(rng, part)
        for j, question in enumerate(drawn.questions):
            yield {
                "id": f"choice-{2 * i + j:04}",
                "prompt": f"{drawn.text} {question.prompt}",
                **_shuffled(rng, question.answer, question.wrong),
                "category": question.category,
                "group": f"passage-{i:03}",
            }
    for i, (a, b) in enumerate(part.pairs[: _N_EXAMPLES - 2 * _N_PASSAGES]):
        misses = [str(a + b + miss) for miss in rng.sample((-20, -11, -10, -1, 1, 10, 11, 20), 3)]
        yield {
            "id": f"choice-{2 * _N_PASSAGES + i:04}",
            "prompt": f"{a} + {b} =",
            **_shuffled(rng, str(a + b), misses),
            "category": "sum",
            "group": f"sum-{i:03}",
        }


def _text(rng: random.Random) -> Iterator[Line]:
    texts: dict[str, None] = {}
    while len(texts) < _N_EXAMPLES:
        texts[held_out_text(rng)] = None
    for i, text in enumerate(texts):
        yield {"id": f"text-{i:04}", "text": text}


def _turn(categories: Sequence[str], i: int) -> str:
    return categories[i % len(categories)]


def _distinct(exchanges: Iterator[Exchange]) -> Iterator[Exchange]:
    """Yield the first exchanges whose prompts differ, as many as a task has examples."""
    seen: set[str] = set()
    for exchange in exchanges:
        if exchange.prompt not in seen and len(seen) < _N_EXAMPLES:
            seen.add(exchange.prompt)
            yield exchange


def _numbered(task: str, exchanges: Iterator[Exchange]) -> Iterator[Line]:
    for i, exchange in enumerate(exchanges):
        yield {
            "id": f"{task}-{i:04}",
            "prompt": exchange.prompt,
            "reference": exchange.answer,
            "category": exchange.category,
        }


def _shuffled(rng: random.Random, answer: str, wrong: Sequence[str]) -> Line:
    choices = rng.sample([answer, *wrong], 1 + len(wrong))
    return {"choices": choices, "answer": choices.index(answer)}


TASKS: Mapping[str, Callable[[random.Random], Iterator[Line]]] = {
    "tiny-arithmetic": _arithmetic,
    "tiny-instructions": _instructions,
    "tiny-style": _style,
    "tiny-choice": _choice,
    "tiny-text": _text,
}
"""The bundled tasks that go with the family."""


def main() -> None:
    """Write one JSONL file a task."""
    parser = argparse.ArgumentParser(description="Write the bundled tasks' examples.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSONL files")
    folder: Path = parser.parse_args().out
    for task in TASKS:
        lines = "".join(f"{json.dumps(line)}\n" for line in examples(task))
        (folder / f"{task}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
