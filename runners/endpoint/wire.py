"""Requests as an OpenAI-compatible server takes them, and what its replies say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from evalcore.errors import InputError
from evalcore.images import data_uri
from evalcore.protocols import GenerateRequest, images_by_message
from evalcore.records import FinishReason, Image
from runners.endpoint.address import Endpoint

__all__ = [
    "CHAT_PATH",
    "OPTIONAL_FIELDS",
    "TEXT_PATH",
    "BadReplyError",
    "Call",
    "OtherModelError",
    "Reply",
    "call_for",
    "is_served_as",
    "most_prompt_tokens",
    "read_json",
    "read_reply",
]

CHAT_PATH: Final = "/chat/completions"
TEXT_PATH: Final = "/completions"
OPTIONAL_FIELDS: Final = ("response_format", "logprobs", "top_logprobs")
"""What an answer can be had without, where a server refuses it."""

_MOST_TOP_LOGPROBS: Final = 20
_TOKENS_PER_MESSAGE: Final = 16
_TOKENS_PER_IMAGE: Final = 48_169
"""Most that a known server counts for a picture: gpt-4o-mini takes 2,833 and 5,667 for each tile,
of which there are eight at most (OpenAI, guide on images and vision, 2025)."""
_SNAPSHOT = re.compile(r"-\d{4}(-\d{2}-\d{2})?|@\w[\w./-]*|:latest")


class BadReplyError(Exception):
    """A reply of status 200 that is none."""


class OtherModelError(Exception):
    """Another model answered than the one asked for, or than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is sent."""

    path: str
    body: Mapping[str, Any]
    key: str
    """The request's content hash, for servers that recognise a call that is repeated."""
    most_prompt_tokens: int
    most_completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server said."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int | None
    """None if the server doesn't say."""
    completion_tokens: int | None
    first_token_logprobs: Mapping[str, float] | None


def call_for(request: GenerateRequest, endpoint: Endpoint) -> Call:
    """Make the body of a request: messages to the chat, text to the completions endpoint.

    Pictures go as ``data:`` URLs in front of the text of their turns.

    Raises
    ------
    InputError
        For pictures with a plain text, which the completions endpoint takes alone, and for one that
        is gone or has changed.
    """
    params = request.params
    # OpenAI's newer models refuse max_tokens; older servers know nothing else.
    limit = "max_completion_tokens" if endpoint.host == "api.openai.com" else "max_tokens"
    body: dict[str, Any] = {"model": endpoint.model, "temperature": params.temperature}
    if params.top_p != 1.0:
        body["top_p"] = params.top_p
    if params.top_k:
        body["top_k"] = params.top_k
    if params.stop:
        body["stop"] = list(params.stop)
    if params.temperature > 0.0:
        body["seed"] = params.seed
    if isinstance(request.prompt, str):
        _check_no_images(request)
        path = TEXT_PATH
        body |= {"prompt": request.prompt, "max_tokens": params.max_new_tokens}
        if request.top_logprobs:
            body["logprobs"] = min(request.top_logprobs, _MOST_TOP_LOGPROBS)
    else:
        path = CHAT_PATH
        messages = [
            {"role": turn.role, "content": _content(turn.content, images)}
            for turn, images in zip(request.prompt, images_by_message(request), strict=True)
        ]
        body |= {"messages": messages, limit: params.max_new_tokens}
        if request.top_logprobs:
            most = min(request.top_logprobs, _MOST_TOP_LOGPROBS)
            body |= {"logprobs": True, "top_logprobs": most}
        if request.json_schema:
            body["response_format"] = _response_format(request.json_schema)
    return Call(
        path=path,
        body={name: value for name, value in body.items() if name not in endpoint.omit},
        key=request.key,
        most_prompt_tokens=most_prompt_tokens(request),
        most_completion_tokens=params.max_new_tokens,
    )


def most_prompt_tokens(request: GenerateRequest) -> int:
    """Return an upper bound without the tokenizer: a token has at least one byte of UTF-8."""
    if isinstance(request.prompt, str):
        return len(request.prompt.encode()) + _TOKENS_PER_MESSAGE
    text = sum(len(turn.content.encode()) + _TOKENS_PER_MESSAGE for turn in request.prompt)
    return text + _TOKENS_PER_IMAGE * len(request.images)


def read_json(content: bytes) -> Mapping[str, Any]:
    """Return the object that a body holds.

    Raises
    ------
    BadReplyError
        If it is no JSON object, or breaks off.
    """
    try:
        reply = json.loads(content)
    except ValueError:
        raise BadReplyError("reply is not JSON") from None
    if not isinstance(reply, dict):
        raise BadReplyError("reply is not a JSON object")
    return reply


def read_reply(reply: Mapping[str, Any]) -> Reply:
    """Read an answer of the chat or the completions endpoint.

    Raises
    ------
    BadReplyError
        If there is no answer in it.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadReplyError("reply has no answer in it")
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Reply(
        text=_text(choices[0]),
        finish_reason="length" if choices[0].get("finish_reason") == "length" else "stop",
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        first_token_logprobs=_first_token_logprobs(choices[0].get("logprobs")),
    )


def is_served_as(endpoint: Endpoint, served: object) -> bool:
    """Tell whether a reply's ``model`` is the one asked for.

    Without ``serves``, its dated snapshot (``gpt-4-0613`` for ``gpt-4``), revision (``name@main``)
    or tag ``:latest`` is too, and a server that names none is believed.
    """
    if endpoint.serves is not None:
        return served == endpoint.serves
    if not served:
        return True
    if not isinstance(served, str) or not served.startswith(endpoint.model):
        return False
    rest = served[len(endpoint.model) :]
    return not rest or _SNAPSHOT.fullmatch(rest) is not None


def _check_no_images(request: GenerateRequest) -> None:
    if request.images:
        raise InputError(
            "an endpoint is shown images in conversations alone; this prompt is a plain text "
            "(chat: true in a task, or no --no-chat)"
        )


def _content(text: str, images: Sequence[Image]) -> str | list[dict[str, Any]]:
    """Write a turn as the chat endpoint takes it: in parts if there are pictures."""
    if not images:
        return text
    parts = [{"type": "image_url", "image_url": {"url": data_uri(image)}} for image in images]
    return [*parts, {"type": "text", "text": text}]


def _response_format(schema: str) -> dict[str, Any]:
    described = {"name": "answer", "schema": json.loads(schema), "strict": True}
    return {"type": "json_schema", "json_schema": described}


def _text(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    if isinstance(message, dict):
        # A refusal comes in a field of its own, and is an answer too.
        text = message.get("content") or message.get("refusal") or ""
    else:
        text = choice.get("text")
    if not isinstance(text, str):
        raise BadReplyError("reply has no answer in it")
    return text


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _first_token_logprobs(logprobs: object) -> dict[str, float] | None:
    """Read both shapes: a list of tokens in ``content``, or parallel lists."""
    if not isinstance(logprobs, dict):
        return None
    tokens = logprobs.get("content")
    if isinstance(tokens, list) and tokens and isinstance(tokens[0], dict):
        alternatives = cast("Sequence[Mapping[str, Any]]", tokens[0].get("top_logprobs") or [])
        return {item["token"]: float(item["logprob"]) for item in alternatives} or None
    first = logprobs.get("top_logprobs")
    if isinstance(first, list) and first and isinstance(first[0], dict):
        return {str(token): float(value) for token, value in first[0].items()}
    return None
