"""A transformers tokenizer as the metadata of a GGUF file.

Two kinds are known: byte-level BPE, whose way to cut text into words llama.cpp has under a name
each, and SentencePiece-like BPE with bytes for what is unknown, as LLaMA's first tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evalcore.errors import ModelError

__all__ = ["CHECK_TEXTS", "Vocabulary", "read_vocabulary"]

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""``gguf.TokenType``."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

_BYTE_LEVEL: Final[Mapping[str, Any]] = {"type": "ByteLevel"}
_PRE_TOKENIZERS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "gpt-2": [{"type": "ByteLevel", "use_regex": True}],
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "use_regex": True},
    ],
    "llama-bpe": [{"type": "Split", "regex": _LLAMA3}, {"type": "ByteLevel", "use_regex": False}],
    "qwen2": [{"type": "Split", "regex": _QWEN2}, {"type": "ByteLevel", "use_regex": False}],
}
"""By llama.cpp's name: the steps that cut a text into words, as ``tokenizer.json`` has them."""

CHECK_TEXTS: Final = (
    "",
    " ",
    "a",
    "The quick brown fox jumps over the lazy dog.",
    "Hello, world! It's 3.14159 or 1,000,000; isn't it?",
    "  leading, double  and trailing spaces  ",
    "line\nline\n\nparagraph\r\n\ttab\t\ttabs",
    "What is 12 + 30? 42. What is 7*8-100000? I'LL SAY: don't.",
    "Ünïcödé, naïve café, ΑΒΓ абв, 日本語のテキスト, 한국어, عربى, हिन्दी",
    "cafe\u0301 and Zu\u0308rich, taken apart",
    "emoji 😀👩‍👩‍👧 and ½ ² ① €",
    "def f(x):\n    return {'a': [1, 2, x], \"b\": x**2}  # comment",
    "USER: hi\nASSISTANT: hello</s><|eos|><s>",
    "a" * 50 + " " + "0" * 20 + " " * 9 + "\n" * 5 + "!?" * 9,
)
"""What a converted vocabulary has to cut into the same tokens as the original."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What llama.cpp has to know of a tokenizer."""

    model: str
    """``gpt2`` for byte-level BPE, ``llama`` for SentencePiece-like BPE."""
    pre: str
    """llama.cpp's name of the way to cut text into words."""
    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    """Of SentencePiece-like vocabularies: pieces of earlier merges win."""
    merges: list[str] | None
    marks: Mapping[str, int]
    """Tokens of ``bos``, ``eos``, ``unk`` and ``pad``, of those that there are."""
    adds_bos: bool
    adds_space: bool
    normalizer: str | None
    """``NFC`` where texts are composed before they are cut, which only this product knows of."""
    chat_template: str | None


def read_vocabulary(tokenizer: Any, folder: Path, *, n_tokens: int) -> Vocabulary:
    """Read a fast tokenizer of transformers.

    Parameters
    ----------
    tokenizer
        Loaded.
    folder
        Where it is, for errors.
    n_tokens
        Rows of the model's embedding; where there are more than the tokenizer has, the rest is
        filled with tokens that no text contains.

    Raises
    ------
    ModelError
        For a kind that can't be written, with the reason.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"tokenizer can't be written as GGUF: it has no tokenizer.json ({folder})")
    content = json.loads(backend.to_str())
    model = content["model"]
    if model.get("type") != "BPE":
        raise ModelError(
            f"tokenizer can't be written as GGUF: its model must be BPE; got {model.get('type')!r} "
            f"({folder})"
        )
    is_byte_level = not model.get("byte_fallback")
    tokens, types = _tokens(tokenizer, model, n_tokens, folder)
    ranks = {pair: place for place, pair in enumerate(_merges(model))}
    template = tokenizer.chat_template
    return Vocabulary(
        model="gpt2" if is_byte_level else "llama",
        pre=_pre_tokenizer(content, folder) if is_byte_level else "default",
        tokens=tokens,
        types=types if is_byte_level else _with_bytes(tokens, types),
        scores=None if is_byte_level else _scores(tokens, ranks),
        merges=list(ranks) if is_byte_level else None,
        marks=_marks(tokenizer),
        adds_bos=tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id],
        adds_space=not is_byte_level and _adds_space(content),
        normalizer=_normalizer(content, folder) if is_byte_level else None,
        chat_template=template if isinstance(template, str) else None,
    )


def _tokens(
    tokenizer: Any, model: Mapping[str, Any], n_tokens: int, folder: Path
) -> tuple[list[str], list[int]]:
    by_id = {index: token for token, index in model["vocab"].items()}
    types = dict.fromkeys(by_id, NORMAL)
    for index, added in tokenizer.added_tokens_decoder.items():
        by_id[index] = added.content
        types[index] = CONTROL if added.special else USER_DEFINED
    if by_id and max(by_id) >= n_tokens:
        raise ModelError(
            f"tokenizer has a token {max(by_id)}, the model only {n_tokens} rows of embeddings "
            f"({folder})"
        )
    indices = range(n_tokens)
    return (
        [by_id.get(index, f"[unused{index}]") for index in indices],
        [types.get(index, UNUSED) for index in indices],
    )


def _merges(model: Mapping[str, Any]) -> list[str]:
    merges = model.get("merges") or []
    return [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]


def _pre_tokenizer(content: Mapping[str, Any], folder: Path) -> str:
    step = content.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", [step])
    found = [
        name
        for name, wanted in _PRE_TOKENIZERS.items()
        if len(steps) == len(wanted) and all(map(_is_step, steps, wanted))
    ]
    if not found:
        kinds = ", ".join(
            f"{one.get('type')}{' with add_prefix_space' if one.get('add_prefix_space') else ''}"
            for one in steps
        )
        raise ModelError(
            f"tokenizer can't be written as GGUF: its pre-tokenizer ({kinds}) is none of "
            f"{', '.join(_PRE_TOKENIZERS)} ({folder})"
        )
    return found[0]


def _normalizer(content: Mapping[str, Any], folder: Path) -> str | None:
    kind = (content.get("normalizer") or {}).get("type")
    if kind not in (None, "NFC"):
        raise ModelError(
            f"tokenizer can't be written as GGUF: it changes text before it is cut ({kind}; "
            f"{folder})"
        )
    return kind


def _is_step(step: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if step.get("type") != wanted["type"] or step.get("add_prefix_space"):
        return False
    if "regex" in wanted:
        return bool((step.get("pattern") or {}).get("Regex") == wanted["regex"])
    own = {key: value for key, value in wanted.items() if key != "type"}
    return all(step.get(key) == value for key, value in own.items())


def _with_bytes(tokens: Sequence[str], types: Sequence[int]) -> list[int]:
    bytes_ = {f"<0x{value:02X}>" for value in range(256)}
    return [
        BYTE if token in bytes_ else UNKNOWN if token == "<unk>" else kind  # noqa: S105
        for token, kind in zip(tokens, types, strict=True)
    ]


def _scores(tokens: Sequence[str], ranks: Mapping[str, int]) -> list[float]:
    """Score what a merge makes by the merge's rank, as SentencePiece does."""
    merged: dict[str, float] = {}
    for pair, place in ranks.items():
        merged.setdefault(pair.replace(" ", "", 1), -float(place))
    lowest = -float(len(ranks) + 1)
    return [merged.get(token, lowest) for token in tokens]


def _adds_space(content: Mapping[str, Any]) -> bool:
    text = json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    return '"Prepend"' in text or '"prepend_scheme": "first"' in text


def _marks(tokenizer: Any) -> dict[str, int]:
    names = {"bos": "bos_token_id", "eos": "eos_token_id", "unk": "unk_token_id"}
    names["pad"] = "pad_token_id"
    found = {mark: getattr(tokenizer, name) for mark, name in names.items()}
    return {mark: int(token) for mark, token in found.items() if token is not None}
