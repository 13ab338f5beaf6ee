"""What an answer's text is worth against its references.

Each function takes the answer and the references and returns the best value over the references.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

__all__ = [
    "contains",
    "exact_match",
    "number_match",
    "repetition",
    "rouge_l",
    "token_f1",
]

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
_ARTICLES = frozenset({"a", "an", "the"})
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(
    text: str,
    references: Sequence[str],
    *,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
) -> float:
    """1 if the answer equals a reference but for white space at the ends, else 0."""

    def plain(value: str) -> str:
        value = value.casefold() if ignore_case else value
        value = value.translate(_PUNCTUATION) if ignore_punctuation else value
        return value.strip()

    return float(plain(text) in {plain(reference) for reference in references})


def contains(text: str, references: Sequence[str], *, ignore_case: bool = True) -> float:
    """1 if a reference stands anywhere in the answer, else 0."""
    if ignore_case:
        text, references = text.casefold(), [item.casefold() for item in references]
    return float(any(reference.strip() in text for reference in references))


def number_match(text: str, references: Sequence[str]) -> float:
    """1 if the last number in the answer equals a reference, else 0; nan if no reference is one.

    Commas between digits are ignored; numbers compare exactly, so that 0.30 equals 0.3 and 1/3 is
    not a number.

    Examples
    --------
    >>> number_match("34 + 27 makes 1,061.0 in all.", ["1061"])
    1.0
    """
    wanted = {number for item in references if (number := _last_number(item)) is not None}
    if not wanted:
        return math.nan
    return float(_last_number(text) in wanted)


def token_f1(text: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over words, best of the references.

    Words are compared without case, punctuation and articles, as in SQuAD (Rajpurkar et al. 2016).
    An empty answer to an empty reference counts as 1.
    """
    return max(_f1(_squad_words(text), _squad_words(reference)) for reference in references)


def rouge_l(text: str, references: Sequence[str]) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words, best of the references.

    Words are runs of letters and digits without case, not stemmed (Lin 2004, section 3, with β=1).
    """
    answer = _words(text)
    return max(_lcs_f1(answer, _words(reference)) for reference in references)


def repetition(text: str, *, n: int = 4) -> float:
    """Share of word n-grams that repeat an earlier one; nan for texts of fewer than n + 1 words.

    0 means that all n-grams differ; a text that loops tends to 1 (Welleck et al. 2020, seq-rep-n).
    """
    words = text.split()
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1.0 - len(set(grams)) / len(grams) if len(grams) > 1 else math.nan


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(text)
    try:
        return Decimal(found[-1].replace(",", "")) if found else None
    except InvalidOperation:
        return None


def _squad_words(text: str) -> list[str]:
    words = text.casefold().translate(_PUNCTUATION).split()
    return [word for word in words if word not in _ARTICLES]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    common = (Counter(answer) & Counter(reference)).total()
    return 2 * common / (len(answer) + len(reference))


def _lcs_f1(answer: list[str], reference: list[str]) -> float:
    if not answer or not reference:
        return float(answer == reference)
    lengths = [0] * (len(reference) + 1)
    for word in answer:
        diagonal = 0
        for column, other in enumerate(reference, start=1):
            above = lengths[column]
            lengths[column] = diagonal + 1 if word == other else max(above, lengths[column - 1])
            diagonal = above
    return 2 * lengths[-1] / (len(answer) + len(reference))
