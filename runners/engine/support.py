"""Which models the engine can drive: it tries each one, and says why not."""

from __future__ import annotations

import logging
from typing import Any

import torch

from runners.engine.architecture import why_unknown, window_mismatch
from runners.engine.memory import Governor, free_bytes
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.scoring import TreeScorer
from runners.hf.loading import Base
from runners.hf.scoring import Span, score_spans
from runners.options import RunnerOptions

__all__ = ["tree_scorer", "why_no_trees"]

_TOLERANCE = 1e-3
_LOW_PRECISION_SHARE = 0.25
_TRIAL_SIZES = Sizes(block_tokens=2, segment_tokens=2)
_CPU_SIZES = Sizes()
_GPU_SIZES = Sizes(chunk_tokens=16384, block_tokens=512, segment_tokens=1024)


def tree_scorer(base: Base, options: RunnerOptions) -> TreeScorer | None:
    """Return the engine for a model, or None where the plain path has to do.

    The reason is logged as a warning, unless the plain path was asked for.
    """
    if options.engine == "plain":
        return None
    reason = why_no_trees(base.model)
    if reason is not None:
        logging.getLogger(__name__).warning(
            "requests are scored one by one, without what they share: %s", reason
        )
        return None
    device = base.model.get_input_embeddings().weight.device
    sizes = _CPU_SIZES if device.type == "cpu" else _GPU_SIZES
    budget = options.memory_bytes or free_bytes(device) // 2
    governor = Governor.of(base.model, budget_bytes=budget, max_rows=sizes.chunk_tokens)
    return TreeScorer(base.model, governor, sizes)


def why_no_trees(model: Any) -> str | None:
    """Try a model on a few random tokens, as a tree and one by one.

    Returns
    -------
    str or None
        Why its requests can't be scored as trees of tokens; None if they can. In float32, each
        log-probability has to agree within 1e-3; in lower precision within a quarter of what
        another first token changes.
    """
    reason = why_unknown(model)
    if reason is not None:
        return reason
    governor = Governor.of(model, budget_bytes=2**62, max_rows=64)
    scorer = TreeScorer(model, governor, _TRIAL_SIZES)
    spans, changed = _trial_spans(model)
    try:
        (chunk,) = plan_chunks([[span] for span in spans], _TRIAL_SIZES)
        found = scorer.score(chunk)
    except Exception as problem:
        # Whatever an unknown architecture raises here, it would raise for every request.
        return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
    wanted = score_spans(model, [*spans, *changed])
    error = max(abs(result.logprob - wanted[at].logprob) for at, result in found.results)
    if error > _tolerance(model, [result.logprob for result in wanted]):
        return f"log-probabilities of a trial differ by {error:.2g}"
    return window_mismatch(model.config.get_text_config(), scorer.states.sliding_windows)


def _trial_spans(model: Any) -> tuple[list[Span], list[Span]]:
    """Make sequences that share three tokens, two of them five; then the same, begun otherwise."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    a = torch.randint(vocabulary, (13,), generator=generator).tolist()
    tails = [a[3:8], [*a[3:5], *a[8:11]], a[11:13]]
    spans = [
        [*start, *tail] for start in (a[:3], [(a[0] + 1) % vocabulary, *a[1:3]]) for tail in tails
    ]
    made = [Span(inputs=tokens[:-1], targets=tokens[3:]) for tokens in spans]
    return made[:3], made[3:]


def _tolerance(model: Any, logprobs: list[float]) -> float:
    if model.dtype == torch.float32 and getattr(model, "quantization_method", None) is None:
        return _TOLERANCE
    effects = [abs(logprobs[i] - logprobs[i + 3]) for i in range(3)]
    return max(_TOLERANCE, _LOW_PRECISION_SHARE * max(effects))
