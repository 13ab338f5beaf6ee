"""Requests of the kinds that evaluations are made of, over made-up text, and a model to run them.

Nothing is read from elsewhere: words, tokenizer and weights come from a seed, so that everybody
measures the same thing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalcore.protocols import LoglikelihoodRequest, RollingRequest

__all__ = [
    "GENERATION",
    "N_VOCABULARY",
    "SCORING",
    "ScoringWorkload",
    "make_model",
    "make_tokenizer",
    "questions",
]

_SYLLABLES = [a + b for a in "bcdfghjklmnprstvw" for b in ("a", "e", "i", "o", "u", "an", "er")]
_N_WORDS = 6000
N_VOCABULARY = 8192
"""Of the model; no other of its sizes is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringWorkload:
    """Log-likelihood or rolling requests, and by how much the engine has to be faster."""

    name: str
    make: Callable[[], Sequence[LoglikelihoodRequest] | Sequence[RollingRequest]]
    least_ratio: float
    """Of the harness's time, at its best batch size, to the engine's."""


class _Text:
    """Sentences of made-up words, frequent ones far more frequent than rare ones."""

    def __init__(self, seed: int) -> None:
        lexicon = random.Random(0)
        self._words = [
            "".join(lexicon.choices(_SYLLABLES, k=lexicon.randint(1, 4))) for _ in range(_N_WORDS)
        ]
        self._weights = [1 / (rank + 10) for rank in range(_N_WORDS)]
        self._random = random.Random(seed)

    def words(self, low: int, high: int) -> str:
        n = self._random.randint(low, high)
        return " ".join(self._random.choices(self._words, self._weights, k=n))

    def sentences(self, n: int) -> str:
        return " ".join(self.words(6, 18).capitalize() + "." for _ in range(n))


def _long_choices(*, shared: bool, n_documents: int) -> list[LoglikelihoodRequest]:
    """Make 5-shot questions with four answers of a sentence each."""
    text = _Text(1)

    def question() -> str:
        return f"Question: {text.words(30, 55)}?\nAnswer:"

    def shot() -> str:
        return f"{question()} {text.words(10, 25)}.\n\n"

    common = "".join(shot() for _ in range(5))
    requests = []
    for _ in range(n_documents):
        shots = common if shared else "".join(shot() for _ in range(5))
        context = f"{shots}{question()}"
        requests += [
            LoglikelihoodRequest(context=context, continuation=f" {text.words(10, 25)}.")
            for _ in range(4)
        ]
    return requests


GENERATION = "64 answers, 5-shot"


def questions() -> list[str]:
    """Make 64 questions behind five worked examples."""
    text = _Text(5)
    shots = "".join(
        f"Question: {text.words(20, 40)}?\nAnswer: {text.words(10, 25)}.\n\n" for _ in range(5)
    )
    return [f"{shots}Question: {text.words(20, 40)}?\nAnswer:" for _ in range(64)]


def _letters(n_documents: int) -> list[LoglikelihoodRequest]:
    """Make 5-shot questions with four listed answers, of which the letter is scored."""
    text = _Text(2)

    def question() -> str:
        lines = [f"{letter}. {text.words(6, 20)}" for letter in "ABCD"]
        return "\n".join([f"{text.words(20, 60)}?", *lines, "Answer:"])

    shots = "".join(f"{question()} {letter}\n\n" for letter in "CABDA")
    return [
        LoglikelihoodRequest(context=context, continuation=f" {letter}")
        for context in (shots + question() for _ in range(n_documents))
        for letter in "ABCD"
    ]


def _texts(n_documents: int) -> list[RollingRequest]:
    text = _Text(3)
    lengths = random.Random(4)
    return [RollingRequest(text=text.sentences(lengths.randint(2, 40))) for _ in range(n_documents)]


SCORING: tuple[ScoringWorkload, ...] = (
    ScoringWorkload(
        name="long choices, shared few-shot",
        make=lambda: _long_choices(shared=True, n_documents=60),
        least_ratio=17,
    ),
    ScoringWorkload(
        name="long choices, few-shot per document",
        make=lambda: _long_choices(shared=False, n_documents=15),
        least_ratio=4.5,
    ),
    ScoringWorkload(
        name="one-letter choices, shared few-shot", make=lambda: _letters(75), least_ratio=7
    ),
    ScoringWorkload(name="rolling perplexity", make=lambda: _texts(25), least_ratio=1.2),
)


def make_model(folder: Path) -> None:
    """Write a LLaMA-architecture model of 32 M parameters, in float32, with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    make_tokenizer(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=N_VOCABULARY,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def make_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer of 8,192 tokens that was trained on made-up text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = _Text(0)
    paragraphs = [f"{text.sentences(10)}\nAnswer: {'ABCD'[n % 4]}\n\n" for n in range(2000)]
    tokenizer.train_from_iterator(paragraphs, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
