"""Log-likelihoods by the engine and by lm-evaluation-harness's hf backend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine_measure import Contest, timed
from engine_place import Place
from engine_workloads import SCORING, ScoringWorkload

from evalcore.protocols import Loglikelihood, LoglikelihoodRequest, RollingRequest, Runner
from evalcore.records import ModelSpec
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.tree import grow_tree
from runners.hf.encoding import Encoder
from runners.hf.scoring import Span, pair_span, rolling_spans

__all__ = ["count_flops", "scoring_contests", "scoring_profiles"]

Requests = Sequence[LoglikelihoodRequest] | Sequence[RollingRequest]
# What "auto" finds is 64, the most it tries, wherever main memory holds that. Its search, of whole
# windows, is not counted: it takes longer than the work.
_BATCH_SIZES = {"batch 1": 1, "batch 8": 8, "batch 32": 32, "batch auto": 64}


def scoring_contests(runner: Runner, place: Place) -> dict[str, Callable[[], Contest]]:
    """Return, by the name of each workload, what makes its contest."""
    return {workload.name: partial(_contest, workload, runner, place) for workload in SCORING}


def _first_documents(requests: Requests, share: float) -> Requests:
    """Return the first of the documents, of which each has up to four requests in a row."""
    return requests[: max(4, round(len(requests) * share / 4) * 4)]


def scoring_profiles(runner: Runner) -> dict[str, Callable[[], object]]:
    """Return our side of each workload, by its name."""
    return {workload.name: partial(_ours, runner, workload.make()) for workload in SCORING}


def _contest(workload: ScoringWorkload, runner: Runner, place: Place) -> Contest:
    requests = _first_documents(workload.make(), place.share)
    some = requests[: max(8, len(requests) // 6)]
    score = place.harness.score
    return Contest(
        name=workload.name,
        ours=lambda: timed(partial(_ours, runner, requests), place.setup),
        theirs={name: partial(score, requests, size) for name, size in _BATCH_SIZES.items()},
        trials={name: partial(score, some, size) for name, size in _BATCH_SIZES.items()},
        differences=lambda ours, theirs: _differences(requests, ours, theirs),
        flops=count_flops(requests, place.folder),
        least_ratio=workload.least_ratio,
        least_fraction=0.7,
    )


def _ours(runner: Runner, requests: Requests) -> list[Loglikelihood]:
    is_rolling = isinstance(requests[0], RollingRequest)
    score: Any = runner.loglikelihood_rolling if is_rolling else runner.loglikelihood
    results = [pair for finished in score(requests) for pair in finished.results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def _differences(requests: Requests, ours: Sequence[Loglikelihood], theirs: Sequence[Any]) -> str:
    """Say what differs by more than 1e-4, or 1e-6 of a long sum, or leads to another answer."""
    if isinstance(requests[0], RollingRequest):
        theirs = [(logprob, None) for logprob in theirs]
    for place, (mine, (logprob, is_greedy)) in enumerate(zip(ours, theirs, strict=True)):
        if abs(mine.logprob - logprob) > max(1e-4, 1e-6 * abs(logprob)):
            return f"request {place}: {mine.logprob} against {logprob}"
        if is_greedy is not None and mine.is_greedy != is_greedy:
            return f"request {place}: greedy {mine.is_greedy} against {is_greedy}"
    answers = [_answers(requests, [item.logprob for item in ours])]
    answers.append(_answers(requests, [logprob for logprob, _ in theirs]))
    n_changed = sum(a != b for a, b in zip(*answers, strict=True))
    return f"{n_changed} answers changed" if n_changed else ""


def _answers(requests: Requests, logprobs: Sequence[float]) -> list[int]:
    """Return the likeliest choice of each context."""
    choices: dict[Any, list[float]] = {}
    for request, logprob in zip(requests, logprobs, strict=True):
        context = request.text if isinstance(request, RollingRequest) else request.context
        choices.setdefault(context, []).append(logprob)
    return [values.index(max(values)) for values in choices.values()]


def count_flops(requests: Requests, folder: Path) -> float:
    """Count the floating-point operations that requests need at least; tell their tokens."""
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder)
    encoder = Encoder(
        AutoTokenizer.from_pretrained(folder), ModelSpec(name="", backend="hf", weights="")
    )
    window = config.max_position_embeddings
    if isinstance(requests[0], RollingRequest):
        texts = encoder.texts([request.text for request in requests])
        return _least_flops(
            config, [rolling_spans(tokens, encoder.first_token, window) for tokens in texts]
        )
    return _least_flops(config, [[pair_span(*p, window)] for p in encoder.pairs(requests)])


def _least_flops(config: Any, work: Sequence[Sequence[Span]]) -> float:
    """Count what every distinct token needs once: products with weights, attention, output layer.

    A product of an n-vector with an n × m matrix counts 2nm; a token attends to itself and all
    before it, 4 operations per head size, head and layer for each.
    """
    (chunk,) = plan_chunks(work, Sizes(chunk_tokens=sys.maxsize))
    tree = grow_tree(chunk)
    n_asked = sum(len(span.inputs) for spans in work for span in spans)
    told = f"{n_asked:,} tokens asked, {len(tree.tokens):,} distinct"
    print(f"{told}, {n_asked / len(tree.tokens):.1f} times as many", file=sys.stderr)
    hidden, n_heads = config.hidden_size, config.num_attention_heads
    size = hidden // n_heads
    n_keys = config.num_key_value_heads
    weights = hidden * size * (2 * n_heads + 2 * n_keys) + 3 * hidden * config.intermediate_size
    layers = config.num_hidden_layers
    n_attended = float((tree.depth + 1).sum())
    n_scored = len(set(tree.scored_row.tolist()))
    return (
        2.0 * len(tree.tokens) * layers * weights
        + 4.0 * n_attended * layers * n_heads * size
        + 2.0 * n_scored * hidden * config.vocab_size
    )
