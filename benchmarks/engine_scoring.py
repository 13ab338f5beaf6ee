"""Log-likelihoods by the engine and by lm-evaluation-harness's hf backend."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine_measure import Contest
from engine_workloads import SCORING, ScoringWorkload

from evalcore.protocols import Loglikelihood, LoglikelihoodRequest, RollingRequest, Runner
from evalcore.records import ModelSpec
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.tree import grow_tree
from runners.hf.encoding import Encoder
from runners.hf.scoring import Span, pair_span, rolling_spans

__all__ = ["count_flops", "harness_model", "scoring_contests"]

Requests = Sequence[LoglikelihoodRequest] | Sequence[RollingRequest]
_BATCH_SIZES = ("1", "8", "32")


def scoring_contests(runner: Runner, folder: Path, device: str) -> list[Callable[[], Contest]]:
    """Return, for each workload, what makes its contest.

    Parameters
    ----------
    runner
        Of the model in `folder`.
    folder
        The harness loads the same files.
    device
        Of both.
    """
    harness = harness_model(folder, device)
    # On a CPU, its automatic choice is the largest that main memory holds, of those up to 32 the
    # last, after a trial on whole windows that takes longer than the work.
    sizes = _BATCH_SIZES if device == "cpu" else (*_BATCH_SIZES, "auto")
    return [
        lambda workload=workload: _contest(workload, runner, harness, folder=folder, sizes=sizes)
        for workload in SCORING
    ]


def harness_model(folder: Path, device: str) -> Any:
    """Load a model as lm-evaluation-harness does."""
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), dtype="float32", device=device)


def _contest(
    workload: ScoringWorkload, runner: Runner, harness: Any, *, folder: Path, sizes: Sequence[str]
) -> Contest:
    requests = workload.make()
    some = requests[: max(8, len(requests) // 6)]
    return Contest(
        name=workload.name,
        ours=lambda: _ours(runner, requests),
        theirs={f"batch {size}": _theirs(harness, requests, size) for size in sizes},
        trials={f"batch {size}": _theirs(harness, some, size) for size in sizes},
        differences=lambda ours, theirs: _differences(requests, ours, theirs),
        flops=count_flops(requests, folder),
        least_ratio=workload.least_ratio,
        least_fraction=0.7,
    )


def _ours(runner: Runner, requests: Requests) -> list[Loglikelihood]:
    is_rolling = isinstance(requests[0], RollingRequest)
    score: Any = runner.loglikelihood_rolling if is_rolling else runner.loglikelihood
    results = [pair for finished in score(requests) for pair in finished.results]
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def _theirs(harness: Any, requests: Requests, size: str) -> Callable[[], list[Any]]:
    from lm_eval.api.instance import Instance

    is_rolling = isinstance(requests[0], RollingRequest)
    kind = "loglikelihood_rolling" if is_rolling else "loglikelihood"
    instances = [
        Instance(request_type=kind, doc={}, arguments=_arguments(request), idx=0)
        for request in requests
    ]

    def run() -> list[Any]:
        harness.batch_size_per_gpu = size if size == "auto" else int(size)
        results: list[Any] = getattr(harness, kind)(instances, disable_tqdm=True)
        return results

    return run


def _arguments(request: LoglikelihoodRequest | RollingRequest) -> tuple[str, ...]:
    if isinstance(request, RollingRequest):
        return (request.text,)
    return (str(request.context), request.continuation)


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
        choices.setdefault(_arguments(request)[0], []).append(logprob)
    return [values.index(max(values)) for values in choices.values()]


def count_flops(requests: Requests, folder: Path) -> float:
    """Count the floating-point operations that requests need at least."""
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
