"""The bodies that a stub server sends, as an OpenAI-compatible one would."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runners.endpoint.stub.script import StubReply, last_turn, turn_text

__all__ = ["error_body", "event_stream", "reply_body", "tokens_body"]

_MARK = 0
"""Token that stands in front of a text."""
_TOKEN = re.compile(r"\s*\S+|\s+$")


def reply_body(path: str, request: Mapping[str, Any], reply: StubReply, model: str) -> bytes:
    """Return a whole answer."""
    if path.endswith("/chat/completions"):
        content = _chat(request, reply)
    elif request.get("echo"):
        content = _echo(request)
    elif "prompt_logprobs" in request:
        content = _scored(request)
    else:
        content = _text(request, reply)
    return json.dumps({"id": "stub", "created": 0, "model": model, **content}).encode()


def event_stream(path: str, reply: StubReply, model: str) -> Iterator[bytes]:
    """Yield an answer word by word, as server-sent events."""
    for word in _tokens(reply.text):
        is_chat = path.endswith("/chat/completions")
        choice = {"index": 0, **({"delta": {"content": word}} if is_chat else {"text": word})}
        yield b"data: " + json.dumps({"model": model, "choices": [choice]}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def error_body(message: str, code: str | None = None) -> bytes:
    """Return an error as OpenAI words it."""
    return json.dumps({"error": {"message": message, "type": code, "code": code}}).encode()


def _chat(request: Mapping[str, Any], reply: StubReply) -> dict[str, Any]:
    text, finish_reason = _cut(request, reply)
    message = {"role": "assistant", "content": text}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish_reason}
    if request.get("logprobs") and reply.first_token_logprobs:
        top = [{"token": k, "logprob": v} for k, v in reply.first_token_logprobs.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    prompt = " ".join(map(turn_text, request["messages"]))
    return {"object": "chat.completion", "choices": [choice], "usage": _usage(prompt, text)}


def _text(request: Mapping[str, Any], reply: StubReply) -> dict[str, Any]:
    text, finish_reason = _cut(request, reply)
    choice: dict[str, Any] = {"index": 0, "text": text, "finish_reason": finish_reason}
    if request.get("logprobs") and reply.first_token_logprobs:
        choice["logprobs"] = {"top_logprobs": [dict(reply.first_token_logprobs)]}
    usage = _usage(last_turn(request), text)
    return {"object": "text_completion", "choices": [choice], "usage": usage}


def _echo(request: Mapping[str, Any]) -> dict[str, Any]:
    """Draw each word's log-probability from a hash of the text up to and with it."""
    prompt = last_turn(request)
    tokens = [*_tokens(prompt), " more"]
    offsets = [sum(map(len, tokens[:place])) for place in range(len(tokens))]
    drawn = [_logprob("".join(tokens[: place + 1])) for place in range(len(tokens))]
    logprobs = {
        "tokens": tokens,
        "text_offset": offsets,
        "token_logprobs": [None, *drawn[1:]],
        "top_logprobs": [None, *({"the": -1.0} for _ in drawn[1:])],
    }
    choice = {"text": prompt + " more", "finish_reason": "length", "logprobs": logprobs}
    return {
        "object": "text_completion",
        "choices": [{"index": 0, **choice}],
        "usage": _usage(prompt, " more"),
    }


def tokens_body(request: Mapping[str, Any]) -> bytes:
    """Return the tokens of a text or a conversation, as vLLM's ``/tokenize`` does."""
    text = request.get("prompt")
    if text is None:
        turns = [f"{turn['role']}: {turn['content']}\n" for turn in request["messages"]]
        text = "".join(turns) + "assistant:"
    marks = [_MARK] if request.get("add_special_tokens", True) else []
    tokens = [*marks, *map(_token_id, _tokens(text))]
    return json.dumps({"count": len(tokens), "max_model_len": 4096, "tokens": tokens}).encode()


def _scored(request: Mapping[str, Any]) -> dict[str, Any]:
    """Give a prompt of tokens the log-probabilities that its echo would have."""
    ids: list[int] = request["prompt"]
    words = ["" if token == _MARK else _word(token) for token in ids]
    drawn = [_logprob("".join(words[: place + 1])) for place in range(len(ids))]
    told = [
        {str(token): {"logprob": logprob, "rank": 1 if logprob >= -1.0 else 2}}
        for token, logprob in zip(ids, drawn, strict=True)
    ]
    choice = {"index": 0, "text": " more", "finish_reason": "length"}
    return {
        "object": "text_completion",
        "choices": [{**choice, "prompt_logprobs": [None, *told[1:]]}],
        "usage": {"prompt_tokens": len(ids), "completion_tokens": 1},
    }


def _token_id(word: str) -> int:
    """Return a number that holds a word, so that no vocabulary is needed."""
    return int.from_bytes(b"\x01" + word.encode())


def _word(token: int) -> str:
    return token.to_bytes((token.bit_length() + 7) // 8)[1:].decode()


def _cut(request: Mapping[str, Any], reply: StubReply) -> tuple[str, str]:
    """Cut at the first stop string and after the most tokens, which are words."""
    text = reply.text
    for stop in request.get("stop") or ():
        text = text.split(stop, 1)[0]
    most = request.get("max_tokens") or request.get("max_completion_tokens") or len(text)
    words = _tokens(text)
    return "".join(words[:most]), "length" if len(words) > most else "stop"


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def _usage(prompt: str, text: str) -> dict[str, int]:
    return {"prompt_tokens": len(_tokens(prompt)), "completion_tokens": len(_tokens(text))}


def _logprob(text: str) -> float:
    return -3.0 * hashlib.sha256(text.encode()).digest()[0] / 255
