"""Documents to batches: whole documents side by side in windows of one length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from runners.zoo.exchanges import Exchange

__all__ = ["IGNORED", "Batch", "Document", "batches", "encode"]

IGNORED = -100
"""Label of a token that is not learnt; what torch's cross entropy leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Tokens and what is to be learnt of them."""

    ids: list[int]
    labels: list[int]
    """The tokens themselves, or :data:`IGNORED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Windows of packed documents."""

    ids: Tensor
    """Shape (n_windows, n_tokens)."""
    labels: Tensor
    """Shape (n_windows, n_tokens), not shifted."""


def encode(
    tokenizer: PreTrainedTokenizerFast, source: str | Exchange, *, answers_only: bool
) -> Document:
    """Turn a text or an exchange into tokens, from the first-token mark to the end mark."""
    if isinstance(source, str):
        ids = [*tokenizer.encode(source), tokenizer.eos_token_id]
        return Document(ids=ids, labels=ids)
    turns = [{"role": "user", "content": source.prompt}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    prompt = tokenizer.encode(asked, add_special_tokens=False)
    answer = tokenizer.encode(source.answer, add_special_tokens=False)
    ids = [*prompt, *answer, tokenizer.eos_token_id]
    ignored = len(prompt) if answers_only else 0
    return Document(ids=ids, labels=[IGNORED] * ignored + ids[ignored:])


def batches(
    documents: Iterable[Document], n_windows: int, n_tokens: int, *, pad_id: int
) -> Iterator[Batch]:
    """Pack whole documents, in order, into windows and windows into batches.

    A document that does not fit what is left of a window begins the next one; what is left over is
    padded and not learnt. Documents of one window see each other: a window reads like a file in
    which one text follows another.
    """
    windows: list[Document] = []
    ids: list[int] = []
    labels: list[int] = []
    for document in documents:
        if len(ids) + len(document.ids) > n_tokens:
            windows.append(_padded(ids, labels, n_tokens, pad_id=pad_id))
            ids, labels = [], []
        if len(windows) == n_windows:
            yield _stacked(windows)
            windows = []
        ids += document.ids
        labels += document.labels


def _padded(ids: list[int], labels: list[int], n_tokens: int, *, pad_id: int) -> Document:
    missing = n_tokens - len(ids)
    return Document(ids=ids + [pad_id] * missing, labels=labels + [IGNORED] * missing)


def _stacked(windows: list[Document]) -> Batch:
    return Batch(
        ids=torch.tensor([window.ids for window in windows]),
        labels=torch.tensor([window.labels for window in windows]),
    )
