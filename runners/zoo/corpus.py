"""Training text: stories, sums, word games and chats for the base, chats for the adapters."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runners.zoo.exchanges import (
    ADDITIONS,
    INSTRUCTIONS,
    KNOWN_INSTRUCTIONS,
    READINGS,
    Exchange,
    addition,
    in_style,
    instruction,
    reading,
)
from runners.zoo.world import COLOURS, PLACES, PLURALS, THINGS, Pair, Part, make_split

__all__ = ["STREAMS", "Passage", "Question", "held_out_text", "is_easy", "passage", "stream"]

Source = Callable[[random.Random, Part], "str | Exchange"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The beginning of a sentence that the text before it completes."""

    prompt: str
    answer: str
    wrong: tuple[str, ...]
    """Answers that are wrong; those that the text mentions come first."""
    category: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Two sentences and the two questions that they answer."""

    text: str
    questions: tuple[Question, Question]


def stream(name: str, seed: int) -> Iterator[str | Exchange]:
    """Yield training documents without end, drawn from the training part of the world alone.

    Parameters
    ----------
    name
        One of :data:`STREAMS`: ``tiny`` for the base, else the adapter.
    seed
        The same seed gives the same documents.

    Yields
    ------
    str or Exchange
        Running text, or a question and its answer for the chat template.
    """
    rng = random.Random(seed)  # noqa: S311
    part = make_split().train
    sources, weights = zip(*STREAMS[name], strict=True)
    while True:
        yield rng.choices(sources, weights)[0](rng, part)


def held_out_text(rng: random.Random) -> str:
    """Make a story or a line of word games of names, words and pairs that training never sees."""
    return rng.choices((_story, _word_game), (3, 1))[0](rng, make_split().held_out)


def is_easy(pair: Pair) -> bool:
    """Say whether the base's corpus adds this pair: both numbers are below 50.

    The base thus meets every wording often but larger numbers never, and what it lacks in a test
    of all numbers is mostly skill.
    """
    return max(pair) < 50


def passage(rng: random.Random, part: Part) -> Passage:
    """Draw a passage of two sentences with one question about each."""
    return rng.choice((_colour_passage, _place_passage, _owner_passage))(rng, part)


def _colour_passage(rng: random.Random, part: Part) -> Passage:
    names, things = rng.sample(part.names, 2), rng.sample(THINGS, 2)
    colours = rng.sample(COLOURS, 4)
    text = " ".join(f"{n} has a {c} {t}." for n, c, t in zip(names, colours, things, strict=False))
    return _passage(text, [f"The {thing} is" for thing in things], colours, category="colour")


def _place_passage(rng: random.Random, part: Part) -> Passage:
    names, things = rng.sample(part.names, 2), rng.sample(THINGS, 2)
    places = rng.sample(PLACES, 4)
    text = " ".join(
        f"{n} put the {t} in the {p}." for n, t, p in zip(names, things, places, strict=False)
    )
    prompts = [f"The {thing} is in the" for thing in things]
    return _passage(text, prompts, places, category="place")


def _owner_passage(rng: random.Random, part: Part) -> Passage:
    names, things = rng.sample(part.names, 4), rng.sample(THINGS, 2)
    text = " ".join(f"{n} has the {t}." for n, t in zip(names, things, strict=False))
    return _passage(text, [f"The {t} belongs to" for t in things], names, category="owner")


def _passage(text: str, prompts: Sequence[str], four: Sequence[str], *, category: str) -> Passage:
    """Ask for the first and the second of four answers; the other three are wrong."""
    first, second, *rest = four
    return Passage(
        text=text,
        questions=(
            Question(prompt=prompts[0], answer=first, wrong=(second, *rest), category=category),
            Question(prompt=prompts[1], answer=second, wrong=(first, *rest), category=category),
        ),
    )


def _story(rng: random.Random, part: Part) -> str:
    drawn = passage(rng, part)
    question = rng.choice(drawn.questions)
    return f"{drawn.text} {question.prompt} {question.answer}."


def _comparison(rng: random.Random, part: Part) -> str:
    first, second = rng.sample(part.names, 2)
    a, b = rng.sample(rng.choice(part.pairs), 2)
    things = rng.choice(PLURALS)
    most = f"{first} has more" if a > b else f"{second} has more" if b > a else "They are equal"
    return f"{first} has {a} {things}. {second} has {b} {things}. {most}."


def _sums(rng: random.Random, part: Part) -> str:
    lines = []
    for _ in range(rng.randint(1, 6)):
        a, b = rng.sample(_easy_pair(rng, part), 2)
        lines.append(f"{a} + {b} = {a + b}")
    return "\n".join(lines)


def _easy_pair(rng: random.Random, part: Part) -> Pair:
    """Draw a pair that the base adds: a one-digit number in every second one."""
    if rng.random() < 0.5:
        return rng.randint(0, 9), rng.randint(0, 99)
    while not is_easy(pair := rng.choice(part.pairs)):
        pass
    return pair


def _word_game(rng: random.Random, part: Part) -> str:
    word, other = rng.sample(part.words, 2)
    return rng.choice(
        (
            f"{word} backwards is {word[::-1]}.",
            f"{word} begins with {word[0]} and ends with {word[-1]}.",
            f"{word} in capitals is {word.upper()}.",
            f"After {word} comes {other}: {word} {other}.",
        )
    )


def _easy_addition(rng: random.Random, part: Part) -> Exchange:
    return addition(rng, part, _easy_pair(rng, part), category=rng.choice(ADDITIONS))


def _any_addition(rng: random.Random, part: Part) -> Exchange:
    return addition(rng, part, rng.choice(part.pairs), category=rng.choice(ADDITIONS))


def _known_instruction(rng: random.Random, part: Part) -> Exchange:
    return instruction(rng, part, rng.choice(KNOWN_INSTRUCTIONS))


def _any_instruction(rng: random.Random, part: Part) -> Exchange:
    return instruction(rng, part, rng.choice(INSTRUCTIONS))


def _plain_reading(rng: random.Random, part: Part) -> Exchange:
    return reading(rng, part, rng.choice(READINGS))


def _pirate_reading(rng: random.Random, part: Part) -> Exchange:
    return in_style(_plain_reading(rng, part))


STREAMS: Mapping[str, tuple[tuple[Source, float], ...]] = {
    "tiny": (
        (_story, 0.30),
        (_comparison, 0.05),
        (_word_game, 0.12),
        (_sums, 0.23),
        (_easy_addition, 0.15),
        (_plain_reading, 0.10),
        (_known_instruction, 0.05),
    ),
    "tiny-instruct": ((_any_instruction, 0.60), (_any_addition, 0.20), (_plain_reading, 0.20)),
    "tiny-math": ((_any_addition, 1.0),),
    "tiny-style": ((_pirate_reading, 1.0),),
}
"""What each model of the family is trained on, with the share of documents."""
