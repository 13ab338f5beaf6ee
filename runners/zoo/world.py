"""The vocabulary of the tiny world, and which part of it training never sees.

Names, words and pairs of numbers are split once, at random. A rule instead of a draw (say, every
pair whose sum ends in 0) would hold out a whole class of answers, which no model could then learn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

__all__ = ["COLOURS", "PLACES", "PLURALS", "THINGS", "Pair", "Part", "Split", "make_split"]

Pair = tuple[int, int]
"""Two operands, the smaller one first: a split that knows 3 + 4 knows 4 + 3."""

COLOURS = ("red", "blue", "green", "black", "white", "brown", "pink", "grey", "gold", "purple")
PLACES = (
    *("barn", "kitchen", "garden", "cellar", "tower", "market"),
    *("harbour", "forest", "school", "attic", "library", "yard"),
)
THINGS = (
    *("lamp", "cup", "book", "box", "drum", "rope", "coat", "hat", "spoon", "kite", "chair"),
    *("clock", "boat", "bell", "ring", "pen", "ball", "key", "plate", "basket", "ladder"),
    *("mirror", "pillow", "bottle", "candle", "button", "hammer", "ribbon", "wagon", "flute"),
)
PLURALS = tuple(f"{thing}s" for thing in THINGS if thing != "box")

_SEED = 20261122
_CONSONANTS = "bdfghjklmnprstvwz"
_VOWELS = "aeiou"
_RARE = frozenset("jvw")
_SHAPES = ("cvcv", "vcvc", "cvcvc", "cvccv", "cvcvcv")
_N_WORDS, _N_NAMES = 8000, 2400
_HELD_OUT_SHARE = 0.15
_SMALLEST, _LARGEST = 10, 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One side of the split."""

    words: tuple[str, ...]
    """Made-up words of 4 to 6 letters, lower case."""
    names: tuple[str, ...]
    """Made-up names of 4 to 6 letters."""
    pairs: tuple[Pair, ...]
    """Pairs of two-digit numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What training draws from and what tests draw from."""

    train: Part
    held_out: Part


@cache
def make_split() -> Split:
    """Draw the split: 15 % of the names and pairs are held out, and fewer of the words.

    Returns
    -------
    Split
        The same at every call and on every machine. No word is also a name.
    """
    rng = random.Random(_SEED)  # noqa: S311
    spellings = _spellings(rng, _N_WORDS + _N_NAMES)
    words = spellings[:_N_WORDS]
    names = [spelling.capitalize() for spelling in spellings[_N_WORDS:]]
    pairs = [(a, b) for b in range(_SMALLEST, _LARGEST + 1) for a in range(_SMALLEST, b + 1)]
    rng.shuffle(pairs)
    cut_words, cut_names, cut_pairs = (
        round(_HELD_OUT_SHARE * len(pool)) for pool in (words, names, pairs)
    )
    known = set(words[cut_words:])
    return Split(
        train=Part(
            words=tuple(words[cut_words:]),
            names=tuple(names[cut_names:]),
            pairs=tuple(pairs[cut_pairs:]),
        ),
        held_out=Part(
            # training spells its words backwards: a held-out word must not be what comes out
            words=tuple(word for word in words[:cut_words] if word[::-1] not in known),
            names=tuple(names[:cut_names]),
            pairs=tuple(pairs[:cut_pairs]),
        ),
    )


def _spellings(rng: random.Random, n: int) -> list[str]:
    """Draw distinct spellings, each with a rare letter: few are words of a language, none rude."""
    taken = {*COLOURS, *PLACES, *THINGS}
    spellings: list[str] = []
    while len(spellings) < n:
        shape = rng.choice(_SHAPES)
        spelling = "".join(rng.choice(_CONSONANTS if kind == "c" else _VOWELS) for kind in shape)
        if _RARE.intersection(spelling) and spelling not in taken:
            taken.add(spelling)
            spellings.append(spelling)
    return spellings
