"""Questions with their answers: instructions, sums, and reading in a plain or a pirate's style.

Every function draws from the part of the world it is given, so that the same code makes training
examples and, from the part that training never sees, test items.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from runners.zoo.world import COLOURS, PLACES, PLURALS, THINGS, Pair, Part

__all__ = [
    "ADDITIONS",
    "INSTRUCTIONS",
    "KNOWN_INSTRUCTIONS",
    "READINGS",
    "Exchange",
    "addition",
    "in_style",
    "instruction",
    "reading",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A question, its one right answer, and what kind of question it is."""

    prompt: str
    answer: str
    category: str


def instruction(rng: random.Random, part: Part, category: str) -> Exchange:
    """Make an instruction about words; `category` is one of :data:`INSTRUCTIONS`."""
    wordings, answer = {**_KNOWN_INSTRUCTIONS, **_NEW_INSTRUCTIONS}[category]
    words = rng.sample(part.words, 3)
    prompt = rng.choice(wordings).format(*words)
    return Exchange(prompt=prompt, answer=answer(words), category=category)


def addition(rng: random.Random, part: Part, pair: Pair, *, category: str) -> Exchange:
    """Ask for the sum of a pair, its operands in either order, in one of the :data:`ADDITIONS`."""
    a, b = rng.sample(pair, 2)
    prompt = _ADDITIONS[category].format(
        a=a, b=b, name=rng.choice(part.names), things=rng.choice(PLURALS)
    )
    return Exchange(prompt=prompt, answer=str(a + b), category=category)


def reading(rng: random.Random, part: Part, category: str) -> Exchange:
    """Make a question about a sentence just read; `category` is one of :data:`READINGS`."""
    owners, things = rng.sample(part.names, 2), rng.sample(THINGS, 2)
    asked = rng.randrange(2) if category == "owner" else 0
    colour, place = rng.choice(COLOURS), rng.choice(PLACES)
    prompt = _READINGS[category].format(
        *(owners[0], things[0], owners[1], things[1]),
        asked=things[asked],
        colour=colour,
        place=place,
    )
    answers = {"colour": colour, "place": f"in the {place}", "owner": owners[asked]}
    return Exchange(prompt=prompt, answer=answers[category], category=category)


def in_style(exchange: Exchange) -> Exchange:
    """Give the answer as a pirate would; the question stays the same."""
    return replace(exchange, answer=f"Arr, it be {exchange.answer}!")


def _numbered(words: list[str]) -> str:
    return " ".join(f"{number}. {word}" for number, word in enumerate(words, start=1))


Instruction = tuple[tuple[str, ...], Callable[[list[str]], str]]
_KNOWN_INSTRUCTIONS: Mapping[str, Instruction] = {
    "copy": (("Repeat the word {0}.", "Say {0}."), lambda words: words[0]),
    "reverse": (
        ("Spell {0} backwards.", "Write {0} from right to left."),
        lambda words: words[0][::-1],
    ),
    "first_letter": (
        ("What is the first letter of {0}?", "Which letter does {0} begin with?"),
        lambda words: words[0][0],
    ),
    "uppercase": (("Write {0} in capitals.", "Shout {0}."), lambda words: words[0].upper()),
    "list": (("Number the words {0} {1} {2}.", "Make a list of {0}, {1} and {2}."), _numbered),
    "last_word": (
        ("Which word is last: {0} {1} {2}?", "Give the last of {0}, {1} and {2}."),
        lambda words: words[2],
    ),
}
_NEW_INSTRUCTIONS: Mapping[str, Instruction] = {
    "first_word": (
        ("Which word is first: {0} {1} {2}?", "Give the first of {0}, {1} and {2}."),
        lambda words: words[0],
    ),
    "last_letter": (
        ("What is the last letter of {0}?", "Which letter does {0} end with?"),
        lambda words: words[0][-1],
    ),
    "spell": (
        ("Spell {0} letter by letter.", "Put dashes into {0}."),
        lambda words: "-".join(words[0]),
    ),
    "double": (("Write {0} twice.", "Double {0}."), lambda words: f"{words[0]} {words[0]}"),
    "swap": (("Swap {0} and {1}.", "Turn round {0} {1}."), lambda words: f"{words[1]} {words[0]}"),
    "join": (("Join {0} and {1}.", "Make one word of {0} {1}."), lambda words: words[0] + words[1]),
}
_ADDITIONS: Mapping[str, str] = {
    "plain": "What is {a} + {b}?",
    "words": "Add {a} and {b}.",
    "story": "{name} has {a} {things} and gets {b} more. How many?",
}
_READINGS: Mapping[str, str] = {
    "colour": "{0} has a {colour} {1}. What colour is it?",
    "place": "{0} put the {1} in the {place}. Where is it?",
    "owner": "{0} has the {1}, {2} the {3}. Who has the {asked}?",
}
KNOWN_INSTRUCTIONS = tuple(_KNOWN_INSTRUCTIONS)
"""Kinds of instruction that the base meets."""
INSTRUCTIONS = (*_KNOWN_INSTRUCTIONS, *_NEW_INSTRUCTIONS)
"""All kinds of instruction: those, and those that only the instruct adapter is taught."""
ADDITIONS = tuple(_ADDITIONS)
"""Wordings of an addition."""
READINGS = tuple(_READINGS)
"""Kinds of reading question."""
