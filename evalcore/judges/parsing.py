"""Reading verdicts in what judges wrote.

Judges explain themselves, quote, and change their mind: the last verdict counts. What can't be read
is unscored, which is neither a tie nor a low rating.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from evalcore.judges.records import JudgePrompt, Reading, VerdictForm
from evalcore.judges.rendering import LETTERS
from evalcore.protocols import Completion, Loglikelihood, Response

__all__ = ["UNSCORED", "read_reply", "read_text", "two_marks"]

UNSCORED: Final = Reading(value=math.nan)

_FIVE_WAY_VALUES: Final = {">>": 1.0, ">": 0.75, "=": 0.5, "<": 0.25, "<<": 0.0}
_TIE_WORDS = frozenset({"tie", "draw", "equal", "neither", "both"})
_NUMBER = r"-?\d+(?:\.\d+)?"
_BRACKETED = re.compile(r"\[\[\s*([^\[\]]{1,80}?)\s*\]\]")
_FIVE_WAY = re.compile(r"([AB])\s*(>>|<<|>|<|=)\s*([AB])")
_FIRST_LINE = re.compile(rf"\(?\s*({_NUMBER})\s*[,\s/;]\s*({_NUMBER})\s*\)?\.?")
_MARKS = (
    re.compile(
        rf"(?:Assistant|Answer) [1A]:\s*({_NUMBER})(?![.\d])[^\n]*\n\s*"
        rf"(?:Assistant|Answer) [2B]:\s*({_NUMBER})(?![.\d])"
    ),
    re.compile(
        rf"(?:\b(?i:scores?|output)\b[^\n(]*|^\s*)\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)",
        re.MULTILINE,
    ),
)
"""By name, and as a tuple: numbers in brackets elsewhere may be part of the answer's subject."""
_RATINGS = (
    re.compile(rf"\[\s*({_NUMBER})\s*\]"),
    re.compile(rf"\b(?i:rating|score)\b[\s*_:=is\"']{{1,8}}({_NUMBER})"),
)
_BARE_NUMBER = re.compile(rf"({_NUMBER})(?:\s*/\s*\d+)?")
_VERDICT = r"\b(?i:verdict|winner|decision|choice)\b[\s*_:=is\"']{1,8}"
_WHO = r"(?:(?i:answer|assistant|response|model|output)\s+)?"
_ENDS = r"(?=[\s*_.\"'}]*$|[\"']|\s+is\b)"
_AROUND = " \t\r\n.*_\"'`[]"


def read_reply(prompt: JudgePrompt, responses: Sequence[Response], *, n_answers: int) -> Reading:
    """Read the responses to :func:`~evalcore.judges.rendering.requests`, in the same order.

    For log-probabilities the value is p₁/(p₁ + p₂), where p₁ and p₂ are the probabilities of the
    first label and of the second [1]_, a label that is not among the likeliest tokens having none;
    without either it is nan.

    References
    ----------
    .. [1] Dubois, Galambosi, Liang, Hashimoto (2024), "Length-controlled AlpacaEval", arXiv
       2404.04475; the judge ``weighted_alpaca_eval_gpt4_turbo``.
    """
    if prompt.form == "logprobs":
        return _preference(prompt.labels, responses)
    (reply,) = responses
    if not isinstance(reply, Completion):
        return UNSCORED
    return read_text(prompt, reply.text, n_answers=n_answers)


def read_text(prompt: JudgePrompt, text: str, *, n_answers: int = 2) -> Reading:
    """Read a verdict in a judge's text; unscored if there is none."""
    return _READERS[prompt.form](prompt, text, n_answers)


def _preference(labels: Sequence[str], responses: Sequence[Response]) -> Reading:
    first, second = (_probability(label, at, responses) for at, label in enumerate(labels))
    if not first + second > 0.0:  # also for nan
        return UNSCORED
    value = first / (first + second)
    return Reading(value=value, label=labels[0] if value >= 0.5 else labels[1])


def _probability(label: str, at: int, responses: Sequence[Response]) -> float:
    """Return a label's probability up to a factor that both labels share."""
    if isinstance(responses[0], Completion):
        top = responses[0].first_token_logprobs or {}
        return sum(math.exp(logprob) for token, logprob in top.items() if token.strip() == label)
    scores = [item.logprob for item in responses if isinstance(item, Loglikelihood)]
    return math.exp(scores[at] - max(scores)) if max(scores) > -math.inf else 0.0


def _label(prompt: JudgePrompt, text: str, _n_answers: int) -> Reading:
    labels = "|".join(map(re.escape, prompt.labels))
    in_words = re.compile(rf"{_VERDICT}{_WHO}({labels}){_ENDS}", re.MULTILINE)
    for said in _said(text, "verdict", in_words):
        place = _place(prompt.labels, str(said))
        if place is not None:
            return Reading(value=(1.0, 0.0, 0.5)[place], label=prompt.labels[place])
    return UNSCORED


def _place(labels: Sequence[str], said: str) -> int | None:
    """Return which label was meant: 0 the first answer, 1 the second, 2 a tie."""
    plain = re.sub(rf"^{_WHO}", "", said.strip(_AROUND))
    if plain in labels:
        return labels.index(plain)
    return 2 if len(labels) == 3 and plain.casefold() in _TIE_WORDS else None


def _five_way(_prompt: JudgePrompt, text: str, _n_answers: int) -> Reading:
    in_words = re.compile(rf"{_VERDICT}({_FIVE_WAY.pattern})")
    for said in _said(text, "verdict", in_words):
        found = _FIVE_WAY.fullmatch(str(said).strip(_AROUND))
        if found and found[1] != found[3]:
            value = _FIVE_WAY_VALUES[found[2]]
            return Reading(value=value if found[1] == "A" else 1.0 - value, label=found[0])
    return UNSCORED


def _scores(prompt: JudgePrompt, text: str, _n_answers: int) -> Reading:
    found = [value for value in _json_values(text, "scores") if isinstance(value, list)]
    scores = [_number(item) for item in found[-1]] if found else list(two_marks(text) or ())
    if len(scores) != 2 or not all(_fits(prompt, score) for score in scores):
        return UNSCORED
    first, second = scores
    value = 0.5 if first == second else float(first > second)
    return Reading(
        value=value, label=f"{first:g} {second:g}", parts={"first": first, "second": second}
    )


def two_marks(text: str) -> tuple[float, float] | None:
    r"""Find the marks that a text gives two answers.

    They are the first line, as the Vicuna study's prompts ask, or else the last that are given as
    "Assistant 1: x" and "Assistant 2: y" on two lines, or as a tuple of scores, as its judge did
    where answers were mathematical.

    Returns
    -------
    tuple of float or None
        None if there are none.

    Examples
    --------
    >>> two_marks("8.5 9\nBoth assistants ..."), two_marks("Output: (1, 7)")
    ((8.5, 9.0), (1.0, 7.0))
    """
    first_line = text.strip().partition("\n")[0].strip()
    later = [match for form in _MARKS for match in form.finditer(text)]
    found = _FIRST_LINE.fullmatch(first_line) or max(
        later, key=lambda match: match.start(), default=None
    )
    return None if found is None else (float(found[1]), float(found[2]))


def _rating(prompt: JudgePrompt, text: str, _n_answers: int) -> Reading:
    for said in _said(text, "rating", *_RATINGS):
        found = _BARE_NUMBER.fullmatch(str(said).strip(_AROUND))
        if found:
            rating = float(found[1])
            fits = _fits(prompt, rating)
            return Reading(value=rating if fits else math.nan, label=found[0])
    return UNSCORED


def _rubric(prompt: JudgePrompt, text: str, _n_answers: int) -> Reading:
    """Read a rating for each criterion; one that is missing or off the scale spoils all."""
    found = [value for value in _json_values(text, "ratings") if isinstance(value, dict)]
    ratings = {
        item.name: _number(found[-1].get(item.name)) if found else _after(item.name, text)
        for item in prompt.criteria
    }
    if not all(_fits(prompt, rating) for rating in ratings.values()):
        return UNSCORED
    weights = {item.name: item.weight for item in prompt.criteria}
    total = sum(weights[name] * rating for name, rating in ratings.items())
    return Reading(value=total / sum(weights.values()), parts=ratings)


def _after(name: str, text: str) -> float:
    """Return the last number behind a criterion's name and a colon; nan without one."""
    found = re.findall(rf"(?i:{re.escape(name)})[\s*_\"']*[:=][\s*_]*({_NUMBER})", text)
    return float(found[-1]) if found else math.nan


def _ranking(_prompt: JudgePrompt, text: str, n_answers: int) -> Reading:
    letters = LETTERS[:n_answers]
    for said in _said(
        text, "ranking", re.compile(r"^([A-Z](?:\s*>\s*[A-Z])+)[\s.]*$", re.MULTILINE)
    ):
        order = said if isinstance(said, list) else re.findall(r"\w+", str(said))
        if sorted(map(str, order)) == list(letters):
            ranks = {str(letter): float(rank) for rank, letter in enumerate(order, 1)}
            return Reading(value=0.0, label=">".join(map(str, order)), parts=ranks)
    return UNSCORED


def _said(text: str, key: str, *patterns: re.Pattern[str]) -> Iterator[Any]:
    """Yield what may be the verdict, what is most surely meant so first, and later before earlier.

    That is: a JSON object's value, what stands in double brackets, what follows a word such as
    "verdict", and the whole reply.
    """
    yield from reversed(list(_json_values(text, key)))
    for pattern in (_BRACKETED, *patterns):
        yield from (found[1] for found in reversed(list(pattern.finditer(text))))
    yield text


def _json_values(text: str, key: str) -> Iterator[Any]:
    """Yield the values of a key in the JSON objects of a text, in fences or in prose."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            found, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(found, dict) and key in found:
                yield found[key]
        at = text.find("{", end)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def _fits(prompt: JudgePrompt, rating: float) -> bool:
    low, high = prompt.scale
    return low <= rating <= high


_READERS: Final[Mapping[VerdictForm, Callable[[JudgePrompt, str, int], Reading]]] = {
    "label": _label,
    "five_way": _five_way,
    "scores": _scores,
    "rating": _rating,
    "rubric": _rubric,
    "ranking": _ranking,
}
