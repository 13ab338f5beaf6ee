"""Measure what the family shows: ``python -m runners.zoo.evaluate [--family DIR]``.

Plain transformers over the stored files, with the adapters merged into the base in float32, which
is the stack W + Σ B·A: a second path beside the product's engine, whose numbers must agree.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers import PreTrainedTokenizerFast as TokenizerFast

from evalcore.records import Estimate
from evalcore.stats.intervals import mean_estimate, proportion_estimate
from evalcore.stats.paired import mcnemar_exact

__all__ = ["BUNDLED", "STACKS", "kl_per_token", "load", "main", "report", "scores"]

BUNDLED = Path(__file__).parents[2] / "evalcore" / "tasks" / "bundled"
"""Folder of the tasks that go with the family."""
STACKS: Mapping[str, tuple[str, ...]] = {
    "base": (),
    "+instruct": ("tiny-instruct",),
    "+instruct+math": ("tiny-instruct", "tiny-math"),
    "+instruct+style": ("tiny-instruct", "tiny-style"),
    "+instruct+math+style": ("tiny-instruct", "tiny-math", "tiny-style"),
    "+math": ("tiny-math",),
    "+style": ("tiny-style",),
}
"""The stacks of the model card, by name."""

Precision = Literal["fp32", "bf16", "int8", "nf4"]
Line = dict[str, Any]

_BATCH = 100
_QUANTIZED: Mapping[str, Mapping[str, Any]] = {
    "int8": {"load_in_8bit": True},
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
}
_CHAT = ("tiny-arithmetic", "tiny-instructions", "tiny-style")
_MAX_NEW_TOKENS = 32


def load(
    family: Path, adapters: Sequence[str] = (), *, precision: Precision = "fp32"
) -> PreTrainedModel:
    """Load the base with a stack merged into it, or the bare base in another precision.

    A quantised model takes no adapters here: merging into 4-bit weights is not the stack.
    """
    settings: dict[str, Any] = {"dtype": torch.bfloat16 if precision == "bf16" else torch.float32}
    if precision in _QUANTIZED:
        settings["quantization_config"] = BitsAndBytesConfig(**_QUANTIZED[precision])
    model = AutoModelForCausalLM.from_pretrained(family / "tiny", **settings)
    for adapter in adapters:
        model = PeftModel.from_pretrained(model, family / adapter).merge_and_unload()
    model.eval()
    return model


def scores(model: PreTrainedModel, tokenizer: TokenizerFast, task: str) -> list[float]:
    """Score every example of a bundled task, in the file's order.

    Returns
    -------
    list of float
        Shape (n_examples,): 1 for a right answer or choice and 0 for a wrong one, or the bits per
        byte of a text.
    """
    lines = _lines(task)
    if task in _CHAT:
        answers = _answers(model, tokenizer, [line["prompt"] for line in lines])
        return [float(a == line["reference"]) for a, line in zip(answers, lines, strict=True)]
    if task == "tiny-text":
        logprobs = _logprobs(model, tokenizer, [("", line["text"]) for line in lines])
        return [-p / math.log(2) / _n_bytes(line) for p, line in zip(logprobs, lines, strict=True)]
    asked = [(line["prompt"], f" {choice}") for line in lines for choice in line["choices"]]
    by_choice = iter(_logprobs(model, tokenizer, asked))
    chosen = [max((next(by_choice), c) for c in range(len(line["choices"]))) for line in lines]
    return [float(c == line["answer"]) for (_, c), line in zip(chosen, lines, strict=True)]


def kl_per_token(
    reference: PreTrainedModel, other: PreTrainedModel, tokenizer: TokenizerFast
) -> Estimate:
    """Mean KL(reference ‖ other) in nats a token over the texts of tiny-text.

    The interval counts texts, not tokens: those of one text are not independent.
    """
    values: list[float] = []
    texts: list[int] = []
    for number, line in enumerate(_lines("tiny-text")):
        ids = torch.tensor([tokenizer.encode(line["text"])])
        with torch.inference_mode():
            p, q = (log_softmax(m(input_ids=ids).logits.float(), -1) for m in (reference, other))
        per_token = kl_div(q, p, reduction="none", log_target=True).sum(-1)[0]
        values += per_token.tolist()
        texts += [number] * len(per_token)
    return mean_estimate(values, groups=texts)


def report(family: Path) -> str:
    """Evaluate all stacks and precisions and return the model card's tables as Markdown."""
    tokenizer = AutoTokenizer.from_pretrained(family / "tiny")
    tasks = sorted(path.stem for path in BUNDLED.glob("tiny-*.yaml"))
    results: dict[str, dict[str, list[float]]] = {}
    rows = [["stack", *tasks, "seconds"]]
    for name, adapters in STACKS.items():
        model = load(family, adapters)
        started_s = time.monotonic()
        results[name] = {task: scores(model, tokenizer, task) for task in tasks}
        elapsed_s = time.monotonic() - started_s
        cells = [_cell(results[name][task], task) for task in tasks]
        rows.append([name, *cells, f"{elapsed_s:.0f}"])
    tables = [_table(rows), _comparisons(results, tasks), _precisions(family, tokenizer)]
    return "\n\n".join(tables)


def _lines(task: str) -> list[Line]:
    text = (BUNDLED / f"{task}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _n_bytes(line: Line) -> int:
    return len(line["text"].encode())


def _answers(model: PreTrainedModel, tokenizer: TokenizerFast, prompts: Sequence[str]) -> list[str]:
    asked = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        for prompt in prompts
    ]
    answers: dict[int, str] = {}
    for chunk in _by_length(asked):
        batch = tokenizer(
            [asked[i] for i in chunk], add_special_tokens=False, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=_MAX_NEW_TOKENS,
                do_sample=False,
            )
        new = ids[:, batch["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        answers.update(zip(chunk, texts, strict=True))
    return [answers[i] for i in range(len(asked))]


def _logprobs(
    model: PreTrainedModel, tokenizer: TokenizerFast, pairs: Sequence[tuple[str, str]]
) -> list[float]:
    """Log-probability of each second text after its first; bytes are tokens, so lengths add up."""
    logprobs = [0.0] * len(pairs)
    for chunk in _by_length([context + text for context, text in pairs]):
        texts = [pairs[i][0] + pairs[i][1] for i in chunk]
        batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
        ids = batch["input_ids"]
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=batch["attention_mask"]).logits
        scored = log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[..., 0]
        for row, i in enumerate(chunk):
            start = len(pairs[i][0].encode())
            logprobs[i] = _span(scored[row], start, start + len(pairs[i][1].encode()))
    return logprobs


def _span(logprobs: Tensor, start: int, end: int) -> float:
    return float(logprobs[start:end].double().sum())


def _by_length(texts: Sequence[str]) -> Iterable[list[int]]:
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    return (order[i : i + _BATCH] for i in range(0, len(order), _BATCH))


def _cell(values: Sequence[float], task: str) -> str:
    if task == "tiny-text":
        found = mean_estimate(values, weights=[_n_bytes(line) for line in _lines(task)])
    else:
        found = proportion_estimate(values)
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _comparisons(results: Mapping[str, Mapping[str, list[float]]], tasks: Sequence[str]) -> str:
    steps = [
        ("base", "+instruct"),
        ("+instruct", "+instruct+math"),
        ("+instruct", "+instruct+style"),
        ("+instruct+math", "+instruct+math+style"),
    ]
    rows = [["task", "from", "to", "won", "lost", "p (exact McNemar)"]]
    for task in (task for task in tasks if task != "tiny-text"):
        for before, after in steps:
            pairs = list(zip(results[before][task], results[after][task], strict=True))
            won, lost = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
            p = f"{mcnemar_exact(won, lost):.2g}"
            rows.append([task, before, after, str(won), str(lost), p])
    return _table(rows)


def _precisions(family: Path, tokenizer: TokenizerFast) -> str:
    reference = load(family)
    rows = [["precision of the base", "KL to fp32, nats a token"]]
    names: tuple[Precision, ...] = ("bf16", "int8", "nf4")
    for precision in names:
        found = kl_per_token(reference, load(family, precision=precision), tokenizer)
        rows.append([precision, f"{found.value:.2e} [{found.low:.2e}, {found.high:.2e}]"])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])


def main() -> None:
    """Print the model card's tables."""
    parser = argparse.ArgumentParser(description="Evaluate the tiny family on its tasks.")
    parser.add_argument("--family", type=Path, default=Path(__file__).parent)
    print(report(parser.parse_args().family))


if __name__ == "__main__":
    main()
