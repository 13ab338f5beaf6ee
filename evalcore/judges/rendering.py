"""From answers to the request that shows them to a judge."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from evalcore.errors import InputError
from evalcore.judges.attacks import boundary, enclosed
from evalcore.judges.records import Answer, JudgePrompt, PromptKind
from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, Request
from evalcore.records import Example, Message

__all__ = ["FIVE_WAY", "LETTERS", "Shown", "check_slots", "references_of", "requests", "slots"]

FIVE_WAY: Final = ("A>>B", "A>B", "A=B", "B>A", "B>>A")
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOP_LOGPROBS = 20  # the most that the common servers give
_SLOT = re.compile(r"\{([a-z]+(?:_[a-z0-9]+)*)\}")
_KNOWN = re.compile(
    r"question(_\d)?|instruction|reference|ref_answer_\d|mark|criteria|low|high"
    r"|answers?|answer_[ab](_\d)?|answer_\d|output_[12]|conversations?|conversation_[ab]"
)
_ANSWER_SLOTS: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "pairwise": (
        frozenset({"answer_a", "answer_b"}),
        frozenset({"answer_1", "answer_2"}),
        frozenset({"output_1", "output_2"}),
        frozenset({"answer_a_1", "answer_b_1"}),
        frozenset({"conversation_a", "conversation_b"}),
    ),
    "single": (
        frozenset({"answer"}),
        frozenset({"answer_1"}),
        frozenset({"conversation"}),
    ),
    "ranking": (frozenset({"answers"}), frozenset({"conversations"})),
}
_REFERENCE_SLOTS = frozenset({"reference", "ref_answer_1", "ref_answer_2"})
_QUESTION_SLOTS = frozenset({"question", "question_1", "instruction"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a judge is shown in one call."""

    example: Example
    turn: int
    """The turn judged, from 1."""
    answers: tuple[Answer, ...]
    """In the order shown."""


def slots(prompt: JudgePrompt) -> set[str]:
    """Return the names of a prompt's slots."""
    return set(_SLOT.findall(prompt.system + prompt.template))


def check_slots(prompt: JudgePrompt, *, needs_reference: bool = False, where: str) -> None:
    """Refuse a prompt that lacks a slot for question, answers or reference, or has an unknown one.

    Raises
    ------
    InputError
        Naming file, prompt and slots.
    """
    found = slots(prompt)
    at = f"{where}: prompt {prompt.name!r}"
    unknown = sorted(slot for slot in found if not _KNOWN.fullmatch(slot))
    if unknown:
        raise InputError(f"{at} has an unknown slot {{{unknown[0]}}}")
    ways = _ANSWER_SLOTS[prompt.kind]
    if not any(way <= found for way in ways):
        wanted = " or ".join(" and ".join(f"{{{slot}}}" for slot in sorted(way)) for way in ways)
        raise InputError(f"{at} lacks its slots: the template needs {wanted}")
    shows_conversation = any(slot.startswith("conversation") for slot in found)
    if not found & _QUESTION_SLOTS and not shows_conversation:
        raise InputError(f"{at} lacks its slots: the template needs {{question}}")
    if needs_reference and not found & _REFERENCE_SLOTS:
        raise InputError(f"{at} lacks its slots: the template needs {{reference}}")


def references_of(example: Example, turn: int) -> str | None:
    """Return the reference answer to a turn; in a single turn, all of them."""
    if not example.follow_ups:
        return "\n".join(example.references) if example.references else None
    return example.references[turn - 1] if len(example.references) >= turn else None


def requests(prompt: JudgePrompt, shown: Shown, *, scores_labels: bool) -> tuple[Request, ...]:
    """Make what a judge is asked.

    Parameters
    ----------
    prompt
        What it is told.
    shown
        The answers, in the order shown.
    scores_labels
        For log-probabilities: ask how likely each label is, as a local model can tell exactly,
        instead of the likeliest first tokens of a reply.

    Returns
    -------
    tuple of Request
        One to generate; with ``scores_labels`` one for each of the two labels. The example's images
        are shown in front of the text; a judge that reads text alone is refused when it is asked.
    """
    _check_turns(prompt, shown.turn)
    values = _slot_values(prompt, shown)
    user = Message(role="user", content=_filled(prompt.template, values))
    told = _filled(prompt.system, values)
    system = [Message(role="system", content=told)] if told else []
    messages = (*system, user)
    images = shown.example.images
    if prompt.form != "logprobs":
        schema = _schema(prompt, len(shown.answers)) if prompt.json_output else None
        return (
            GenerateRequest(
                prompt=messages, params=prompt.params, json_schema=schema, images=images
            ),
        )
    if scores_labels:
        return tuple(
            LoglikelihoodRequest(context=messages, continuation=label, images=images)
            for label in prompt.labels
        )
    params = replace(prompt.params, max_new_tokens=1)
    return (
        GenerateRequest(prompt=messages, params=params, top_logprobs=_TOP_LOGPROBS, images=images),
    )


def _check_turns(prompt: JudgePrompt, turn: int) -> None:
    """Refuse a prompt that numbers turns, as FastChat's do, for another number of them."""
    numbered = [slot for slot in slots(prompt) if slot.startswith("question_")]
    n_turns = max((int(slot[-1]) for slot in numbered), default=turn)
    if n_turns != turn:
        raise InputError(
            f"judge prompt {prompt.name!r} is for {n_turns} turns, but turn {turn} is judged"
        )


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Fill a template in one pass, so that an answer with a slot's name stays as it is."""
    missing = [slot for slot in _SLOT.findall(template) if slot not in values]
    if missing:
        raise InputError(
            f"judge prompt has the slot {{{missing[0]}}}, for which its kind or turn has nothing"
        )
    return _SLOT.sub(lambda slot: values[slot[1]], template)


def _slot_values(prompt: JudgePrompt, shown: Shown) -> dict[str, str]:
    low, high = prompt.scale
    mark = boundary([text for answer in shown.answers for text in answer.texts])
    criteria = [f"- {item.name}: {item.description}" for item in prompt.criteria]
    return {
        "mark": mark,
        "low": f"{low:g}",
        "high": f"{high:g}",
        "criteria": "\n".join(criteria),
        **_question_values(shown),
        **_answer_values(prompt.kind, shown, mark if "mark" in slots(prompt) else None),
    }


def _question_values(shown: Shown) -> dict[str, str]:
    values = {"question": _question(shown.example, shown.turn)}
    values["instruction"] = values["question"]
    values["reference"] = references_of(shown.example, shown.turn) or ""
    for turn in range(1, shown.turn + 1):
        values[f"question_{turn}"] = _question(shown.example, turn)
        values[f"ref_answer_{turn}"] = references_of(shown.example, turn) or ""
    return values


def _answer_values(kind: PromptKind, shown: Shown, mark: str | None) -> dict[str, str]:
    """Return the texts of answers and conversations, between marks unless there is no mark.

    Published protocols know of no marks and get the answers word for word.
    """
    texts = [
        [text if mark is None else enclosed(text, mark) for text in answer.texts]
        for answer in shown.answers
    ]
    talks = [_conversation(shown, said) for said in texts]
    if kind == "ranking":
        return {
            "answers": _lettered("Answer", [said[-1] for said in texts]),
            "conversations": _lettered("Conversation", talks),
        }
    if kind == "single":
        by_turn = {f"answer_{turn}": text for turn, text in enumerate(texts[0], 1)}
        return {"answer": texts[0][-1], "conversation": talks[0], **by_turn}
    values = {}
    for letter, place, said, talk in zip("ab", "12", texts, talks, strict=True):
        values[f"answer_{letter}"] = said[-1]
        values[f"answer_{place}"] = values[f"output_{place}"] = said[-1]
        values[f"conversation_{letter}"] = talk
        values |= {f"answer_{letter}_{turn}": text for turn, text in enumerate(said, 1)}
    return values


def _lettered(head: str, texts: Sequence[str]) -> str:
    return "\n\n".join(f"{head} {LETTERS[at]}:\n{text}" for at, text in enumerate(texts))


def _conversation(shown: Shown, said: Sequence[str]) -> str:
    return "\n\n".join(
        f"User:\n{_question(shown.example, turn)}\n\nAssistant:\n{text}"
        for turn, text in enumerate(said, 1)
    )


def _question(example: Example, turn: int) -> str:
    if turn > 1:
        return example.follow_ups[turn - 2]
    if len(example.messages) == 1:
        return example.messages[0].content
    return "\n\n".join(f"{said.role.capitalize()}: {said.content}" for said in example.messages)


def _schema(prompt: JudgePrompt, n_answers: int) -> str:
    low, high = prompt.scale
    rating = {"type": "number", "minimum": low, "maximum": high}
    letters = {"type": "string", "enum": list(LETTERS[:n_answers])}
    names = [item.name for item in prompt.criteria]
    verdicts: dict[str, tuple[str, dict[str, Any]]] = {
        "label": ("verdict", {"type": "string", "enum": list(prompt.labels)}),
        "five_way": ("verdict", {"type": "string", "enum": list(FIVE_WAY)}),
        "scores": ("scores", {"type": "array", "items": rating, "minItems": 2, "maxItems": 2}),
        "rating": ("rating", rating),
        "rubric": ("ratings", _object(dict.fromkeys(names, rating))),
        "ranking": (
            "ranking",
            {"type": "array", "items": letters, "minItems": n_answers, "maxItems": n_answers},
        ),
    }
    key, verdict = verdicts[prompt.form]
    return json.dumps(_object({"explanation": {"type": "string"}, key: verdict}))


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
