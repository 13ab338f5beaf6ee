"""Greedy answers by the engine, by lm-evaluation-harness's hf backend and by transformers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from engine_measure import Contest
from engine_scoring import harness_model
from engine_workloads import GENERATION, questions

from evalcore.protocols import Completion, GenerateRequest, Runner
from evalcore.records import SamplingParams
from runners.engine.generation_prefixes import group_prompts

__all__ = ["generation_contests"]

_BATCH_SIZES = (1, 8, 32, 64)
_MAX_NEW_TOKENS = 128


def generation_contests(runner: Runner, folder: Path, device: str) -> list[Callable[[], Contest]]:
    """Return what makes the contests; parameters as of the scoring contests."""
    harness = harness_model(folder, device)
    prompts = questions()

    def contest(name: str, theirs: Callable[[Sequence[GenerateRequest], int], Any]) -> Contest:
        requests = _ask(prompts, (_spreading_stop(runner, prompts),))
        answers = _ours(runner, requests)
        return Contest(
            name=name,
            ours=lambda: [answer.text for answer in _ours(runner, requests)],
            theirs={f"batch {size}": lambda n=size: theirs(requests, n) for size in _BATCH_SIZES},
            # On all: a part would not fill the large batches.
            trials={f"batch {size}": lambda n=size: theirs(requests, n) for size in _BATCH_SIZES},
            differences=_differences,
            flops=_least_flops(harness, prompts, answers),
            least_ratio=5,
            least_fraction=0.35,
        )

    return [
        lambda: contest(
            f"{GENERATION}, generate_until", lambda asked, n: _by_harness(harness, asked, n)
        ),
        lambda: contest(
            f"{GENERATION}, transformers", lambda asked, n: _by_transformers(harness, asked, n)
        ),
    ]


def _ask(prompts: Sequence[str], stop: tuple[str, ...]) -> list[GenerateRequest]:
    params = SamplingParams(max_new_tokens=_MAX_NEW_TOKENS, stop=stop)
    return [GenerateRequest(prompt=prompt, params=params) for prompt in prompts]


def _spreading_stop(runner: Runner, prompts: Sequence[str]) -> str:
    """Return a string that ends the model's answers at many different lengths.

    Random weights never end an answer by themselves. Of the strings of three or four characters in
    their answers, the one is taken that ends most of them inside and halves them on average.
    """
    texts = [answer.text for answer in _ours(runner, _ask(prompts, ()))]
    strings = {text[at : at + n] for text in texts for n in (3, 4) for at in range(len(text) - n)}

    def spread(string: str) -> tuple[float, str]:
        shares = [text.find(string) / len(text) if string in text else 1.0 for text in texts]
        n_inside = sum(0.05 < share < 0.95 for share in shares)
        return n_inside - 2 * len(texts) * abs(sum(shares) / len(shares) - 0.5), string

    return max(strings, key=spread)


def _ours(runner: Runner, requests: Sequence[GenerateRequest]) -> list[Completion]:
    results = [pair for finished in runner.generate(requests) for pair in finished.results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def _by_harness(harness: Any, requests: Sequence[GenerateRequest], size: int) -> list[str]:
    from lm_eval.api.instance import Instance

    harness.batch_size_per_gpu = size
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(
                request.prompt,
                {"until": list(request.params.stop), "max_gen_toks": _MAX_NEW_TOKENS},
            ),
            idx=0,
        )
        for request in requests
    ]
    answers: list[str] = harness.generate_until(instances, disable_tqdm=True)
    return answers


def _by_transformers(harness: Any, requests: Sequence[GenerateRequest], size: int) -> list[str]:
    """Run ``generate`` with ``stop_strings`` on batches sorted by length."""
    tokenizer = harness.tokenizer
    tokenizer.padding_side = "left"
    prompts = [str(request.prompt) for request in requests]
    order = sorted(range(len(prompts)), key=lambda place: -len(prompts[place]))
    answers: dict[int, str] = {}
    for start in range(0, len(order), size):
        members = order[start : start + size]
        encoded = tokenizer(
            [prompts[place] for place in members], padding=True, return_tensors="pt"
        )
        encoded = encoded.to(harness.device)
        with torch.inference_mode():
            out = harness.model.generate(
                **encoded,
                max_new_tokens=_MAX_NEW_TOKENS,
                do_sample=False,
                stop_strings=list(requests[0].params.stop),
                tokenizer=tokenizer,
                pad_token_id=tokenizer.pad_token_id,
            )
        new = out[:, encoded["input_ids"].shape[1] :]
        for place, text in zip(
            members, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True
        ):
            answers[place] = text
    stop = requests[0].params.stop
    return [_cut(answers[place], stop) for place in range(len(prompts))]


def _cut(text: str, stop: Sequence[str]) -> str:
    for string in stop:
        text = text.split(string)[0]
    return text


def _differences(ours: Sequence[str], theirs: Sequence[str]) -> str:
    n_other = sum(a != b for a, b in zip(ours, theirs, strict=True))
    return f"{n_other} of {len(ours)} answers differ" if n_other else ""


def _least_flops(harness: Any, prompts: Sequence[str], answers: Sequence[Completion]) -> float:
    """Count what every token needs once, the beginning that prompts share for all of them.

    As for scoring; the output layer counts once for each token of an answer.
    """
    config = harness.model.config
    tokens = [harness.tokenizer(prompt)["input_ids"] for prompt in prompts]
    hidden, n_heads = config.hidden_size, config.num_attention_heads
    size = hidden // n_heads
    weights = hidden * size * (2 * n_heads + 2 * config.num_key_value_heads)
    weights += 3 * hidden * config.intermediate_size
    n_read, n_attended, n_answered = 0, 0, 0
    for group in group_prompts(tokens):
        n_read += group.n_shared
        n_attended += group.n_shared * (group.n_shared + 1) // 2
        for member in group.members:
            # The last token of an answer is never read.
            end = len(tokens[member]) + answers[member].completion_tokens - 1
            n_read += end - group.n_shared
            n_attended += (end * (end + 1) - group.n_shared * (group.n_shared + 1)) // 2
            n_answered += answers[member].completion_tokens
    return (
        2.0 * n_read * config.num_hidden_layers * weights
        + 4.0 * n_attended * config.num_hidden_layers * hidden
        + 2.0 * n_answered * hidden * config.vocab_size
    )
