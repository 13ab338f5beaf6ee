"""Greedy answers by the engine, by lm-evaluation-harness's hf backend and by transformers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine_measure import Contest, timed
from engine_place import Place
from engine_workloads import GENERATION, questions

from evalcore.protocols import Completion, GenerateRequest, Runner
from evalcore.records import SamplingParams
from runners.engine.generation_prefixes import group_prompts

__all__ = ["generation_contests", "generation_profile"]

# As for scoring, what "auto" finds is 64.
_BATCH_SIZES = {"batch 8": 8, "batch 32": 32, "batch auto": 64}
_ALONE = "batch 1"
_TRIED_ALONE = 8
"""Every so many-th prompt shows what batch size 1 takes: it has no batch to leave unfilled."""
_MAX_NEW_TOKENS = 128


def generation_contests(runner: Runner, place: Place) -> dict[str, Callable[[], Contest]]:
    """Return what makes the contests, by their names."""
    others = {"generate_until": place.harness.generate_until, "generate": place.harness.generate}
    names = {name: f"{GENERATION}, {name}" for name in others}
    return {
        names[name]: partial(_contest, names[name], theirs, runner, place)
        for name, theirs in others.items()
    }


def _contest(
    name: str, theirs: Callable[..., tuple[float, Any]], runner: Runner, place: Place
) -> Contest:
    prompts = questions()
    requests = _ask(prompts, (_spreading_stop(runner, prompts),))
    sides = {name: partial(theirs, requests, size) for name, size in _BATCH_SIZES.items()}
    alone = partial(theirs, requests, 1)
    return Contest(
        name=name,
        ours=lambda: timed(lambda: [a.text for a in _ours(runner, requests)], place.setup),
        theirs={_ALONE: alone, **sides},
        # Others on all: a part would not fill the large batches.
        trials={_ALONE: partial(_tried_alone, theirs, requests), **sides},
        differences=_differences,
        flops=_least_flops(place.folder, prompts, _ours(runner, requests)),
        least_ratio=5,
        least_fraction=0.35,
    )


def _tried_alone(
    theirs: Callable[..., tuple[float, Any]], requests: Sequence[GenerateRequest]
) -> tuple[float, Any]:
    seconds, answers = theirs(requests[::_TRIED_ALONE], 1)
    return seconds * _TRIED_ALONE, answers


def generation_profile(runner: Runner) -> dict[str, Callable[[], object]]:
    """Return our side, by its name."""
    prompts = questions()
    requests = _ask(prompts, (_spreading_stop(runner, prompts),))
    return {GENERATION: partial(_ours, runner, requests)}


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


def _differences(ours: Sequence[str], theirs: Sequence[str]) -> str:
    n_other = sum(a != b for a, b in zip(ours, theirs, strict=True))
    return f"{n_other} of {len(ours)} answers differ" if n_other else ""


def _least_flops(folder: Path, prompts: Sequence[str], answers: Sequence[Completion]) -> float:
    """Count what every token needs once, the beginning that prompts share for all of them.

    As for scoring; the output layer counts once for each token of an answer.
    """
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = [tokenizer(prompt)["input_ids"] for prompt in prompts]
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
