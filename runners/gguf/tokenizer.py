"""A GGUF file's vocabulary, in the form in which :class:`runners.hf.encoding.Encoder` asks for it.

Only what the encoder needs of a transformers tokenizer is here, with the same names.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from runners.gguf.library import library

__all__ = ["NORMALIZER_KEY", "GgufTokenizer"]

NORMALIZER_KEY = "parity.tokenizer.normalizer"
"""Metadata of what is done to a text before it is cut, which llama.cpp leaves to the caller."""


class GgufTokenizer:
    """Text to tokens and back by llama.cpp.

    Parameters
    ----------
    model
        Of llama.cpp; it has to live as long.
    metadata
        Of the file: which marks there are is taken from it, since llama.cpp makes up some that are
        missing.
    """

    def __init__(self, model: Any, metadata: Mapping[str, Any]) -> None:
        self._lib = library()
        self._vocabulary = self._lib.llama_model_get_vocab(model)
        self._is_sentencepiece = metadata.get("tokenizer.ggml.model") == "llama"
        self.n_tokens: int = self._lib.llama_vocab_n_tokens(self._vocabulary)
        self.bos_token_id = _mark(metadata, "bos", 1 if self._is_sentencepiece else None)
        self.eos_token_id = _mark(metadata, "eos", 2 if self._is_sentencepiece else None)
        self.chat_template: str | None = metadata.get("tokenizer.chat_template")
        adds_bos = self._lib.llama_vocab_get_add_bos(self._vocabulary)
        self._marks = [] if self.bos_token_id is None or not adds_bos else [self.bos_token_id]
        self._strips_space = self._is_sentencepiece and bool(
            metadata.get("tokenizer.ggml.add_space_prefix", True)
        )
        self._composes = metadata.get(NORMALIZER_KEY) == "NFC"
        self._pieces: dict[int, bytes] = {}

    def __call__(
        self, texts: str | Sequence[str], *, add_special_tokens: bool = True, **_: object
    ) -> dict[str, Any]:
        """Tokenise; marks written in the text become the marks."""
        if isinstance(texts, str):
            return {"input_ids": self._encode(texts, add_special_tokens)}
        return {"input_ids": [self._encode(text, add_special_tokens) for text in texts]}

    def batch_decode(
        self,
        rows: Sequence[Sequence[int]],
        *,
        skip_special_tokens: bool = True,
        clean_up_tokenization_spaces: bool = False,
    ) -> list[str]:
        """Turn tokens into texts; parts of characters become replacement characters."""
        return [self._decode(row) for row in rows]

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool = False) -> str:
        """Turn tokens into a text, marks by their names."""
        if skip_special_tokens:
            return self._decode(tokens)
        marks = self.added_tokens_decoder
        parts = [
            marks[token].content.encode() if token in marks else self._piece(token)
            for token in tokens
        ]
        return b"".join(parts).decode("utf-8", errors="replace")

    @cached_property
    def added_tokens_decoder(self) -> dict[int, SimpleNamespace]:
        """The marks, by token."""
        is_mark = self._lib.llama_vocab_is_control
        return {
            token: SimpleNamespace(content=self._text(token), special=True)
            for token in range(self.n_tokens)
            if is_mark(self._vocabulary, token)
        }

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """Marks that end an answer: of text, of a turn, of a message."""
        is_end = self._lib.llama_vocab_is_eog
        said = {self.eos_token_id} if self.eos_token_id is not None else set()
        # Without an end mark in the file llama.cpp takes token 11 for one.
        made_up = {11} if self.eos_token_id is None and not self._is_sentencepiece else set()
        found = {token for token in range(self.n_tokens) if is_end(self._vocabulary, token)}
        return frozenset(found - made_up | said)

    def apply_chat_template(
        self,
        turns: list[dict[str, str]],
        *,
        chat_template: str,
        tokenize: bool,
        add_generation_prompt: bool,
        continue_final_message: bool = False,
    ) -> str:
        """Write a conversation as text, by the renderer of transformers."""
        from transformers.utils.chat_template_utils import render_jinja_template

        rendered, _ = render_jinja_template(
            conversations=[turns],
            chat_template=chat_template,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            bos_token=self._text(self.bos_token_id),
            eos_token=self._text(self.eos_token_id),
        )
        text: str = rendered[0]
        return text

    def _encode(self, text: str, add_special_tokens: bool) -> list[int]:
        if self._composes:
            text = unicodedata.normalize("NFC", text)
        data = text.encode("utf-8", errors="replace")
        room = len(data) + 8
        buffer = (ctypes.c_int32 * room)()
        n = self._lib.llama_tokenize(self._vocabulary, data, len(data), buffer, room, False, True)
        if n < 0:
            buffer = (ctypes.c_int32 * -n)()
            n = self._lib.llama_tokenize(self._vocabulary, data, len(data), buffer, -n, False, True)
        return [*(self._marks if add_special_tokens else []), *buffer[:n]]

    def _decode(self, tokens: Sequence[int]) -> str:
        text = b"".join(map(self._piece, tokens)).decode("utf-8", errors="replace")
        return text.removeprefix(" ") if self._strips_space else text

    def _piece(self, token: int) -> bytes:
        if token not in self._pieces:
            room = 64
            buffer = ctypes.create_string_buffer(room)
            n = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, False)
            if n < 0:
                room = -n
                buffer = ctypes.create_string_buffer(room)
                n = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, room, 0, False)
            self._pieces[token] = buffer.raw[:n]
        return self._pieces[token]

    def _text(self, token: int | None) -> str:
        if token is None:
            return ""
        return str(self._lib.llama_vocab_get_text(self._vocabulary, token).decode("utf-8"))


def _mark(metadata: Mapping[str, Any], name: str, default: int | None) -> int | None:
    token = metadata.get(f"tokenizer.ggml.{name}_token_id", default)
    return int(token) if token is not None else None
