"""Which models the engine can drive: it looks them up, tries them, and says why not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from runners.engine.architecture import why_unknown, window_mismatch
from runners.engine.last_layer import LastLayer
from runners.engine.memory import Governor, free_bytes
from runners.engine.planning import Sizes, plan_chunks
from runners.engine.scoring import TreeScorer
from runners.engine.slots import Chunk, KeyValues, Prefix, SlotPass
from runners.engine.slots_attention import forward_slots, slot_attention
from runners.hf.loading import Base
from runners.hf.scoring import Span, score_spans
from runners.options import RunnerOptions

__all__ = ["tree_scorer", "why_no_slots", "why_no_trees"]

_TOLERANCE = 1e-3
"""Of a log-probability."""
_LOW_PRECISION_SHARE = 0.25
_LOGIT_SHARE, _ROUNDED_LOGIT_SHARE = 1e-3, 0.1
"""Of the largest logit, in float32 and in what is rounded more coarsely."""
_TRIAL_SIZES = Sizes(block_tokens=2, segment_tokens=2)
_CPU_SIZES = Sizes()
_GPU_SIZES = Sizes(chunk_tokens=16384, block_tokens=512, segment_tokens=1024)
_PREFIX, _OWN, _OTHER = 5, 3, 7

_Windows = Mapping[int, int | None]
"""Sliding windows by layer, as its attention has been told."""


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
    return _why_not(model, _try_trees)


def why_no_slots(model: Any) -> str | None:
    """Try a model on two prompts of random tokens, in slots and one by one.

    One of them has a prefix of its own; they are packed together, and continued by a token.

    Returns
    -------
    str or None
        Why it can't be decoded in slots; None if it can. The logits after the last two tokens have
        to agree within 1e-3 of the largest one, or a tenth in lower precision.
    """
    return _why_not(model, _try_slots)


def _why_not(model: Any, trial: Callable[[Any], tuple[str | None, _Windows]]) -> str | None:
    """Look up what a short trial can't show, try, and compare the windows that attention saw."""
    reason = why_unknown(model)
    if reason is not None:
        return reason
    try:
        reason, windows = trial(model)
    except Exception as problem:
        # Whatever an unknown architecture raises here, it would raise for every request.
        return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
    return reason or window_mismatch(model.config.get_text_config(), windows)


def _try_trees(model: Any) -> tuple[str | None, _Windows]:
    spans, changed = _trial_spans(model)
    wanted = [result.logprob for result in score_spans(model, [*spans, *changed])]
    governor = Governor.of(model, budget_bytes=2**62, max_rows=64)
    scorer = TreeScorer(model, governor, _TRIAL_SIZES)
    (chunk,) = plan_chunks([[span] for span in spans], _TRIAL_SIZES)
    found = scorer.score(chunk)
    error = max(abs(result.logprob - wanted[at]) for at, result in found.results)
    effects = [abs(wanted[i] - wanted[i + 3]) for i in range(3)]
    rounded = max(_TOLERANCE, _LOW_PRECISION_SHARE * max(effects))
    is_near = error <= (_TOLERANCE if _is_exact(model) else rounded)
    reason = None if is_near else f"log-probabilities of a trial differ by {error:.2g}"
    return reason, scorer.states.sliding_windows


def _trial_spans(model: Any) -> tuple[list[Span], list[Span]]:
    """Make sequences that share three tokens, two of them five; then the same, begun otherwise."""
    a = _some_tokens(model, 13)
    n_vocabulary = model.get_input_embeddings().weight.shape[0]
    tails = [a[3:8], [*a[3:5], *a[8:11]], a[11:13]]
    spans = [
        [*start, *tail] for start in (a[:3], [(a[0] + 1) % n_vocabulary, *a[1:3]]) for tail in tails
    ]
    made = [Span(inputs=tokens[:-1], targets=tokens[3:]) for tokens in spans]
    return made[:3], made[3:]


@torch.inference_mode()
def _try_slots(model: Any) -> tuple[str | None, _Windows]:
    some = _some_tokens(model, _PREFIX + _OWN + _OTHER)
    one, other = some[: _PREFIX + _OWN], some[_PREFIX + _OWN :]
    device = model.get_input_embeddings().weight.device
    wanted = torch.stack(
        [
            model(input_ids=torch.tensor([text], device=device), use_cache=False).logits[0, -2:]
            for text in (one, other)
        ]
    ).float()
    states = KeyValues(n_rows=2, capacity=_OTHER)
    with slot_attention(model):
        found = _through_slots(model, states, one, other)
    off = float((wanted - found).abs().max())
    share = _LOGIT_SHARE if _is_exact(model) else _ROUNDED_LOGIT_SHARE
    is_near = off <= share * float(wanted.abs().max())
    return None if is_near else f"its logits would be off by {off:.2g}", states.sliding_windows


def _through_slots(model: Any, states: KeyValues, one: list[int], other: list[int]) -> torch.Tensor:
    """Return the logits after the last two tokens of both texts, (2, 2, n_vocabulary)."""
    read = partial(forward_slots, model, last_layer=LastLayer(model))
    shared = KeyValues(n_rows=1, capacity=_PREFIX)
    prefix = Prefix(one[:_PREFIX], shared)
    beginning = [Chunk(states=shared, row=0, tokens=prefix.tokens, past=0, prefix=None)]
    read(SlotPass(states=shared, chunks=beginning), keep=[0])
    chunks = [
        Chunk(states=states, row=0, tokens=one[_PREFIX:-1], past=0, prefix=prefix),
        Chunk(states=states, row=1, tokens=other[:-1], past=0, prefix=None),
    ]
    before = read(SlotPass(states=states, chunks=chunks), keep=[_OWN - 2, _OWN + _OTHER - 3])
    step = SlotPass(
        states=states,
        last_tokens=[one[-1], other[-1]],
        pasts=[_OWN - 1, _OTHER - 1],
        prefixes=[prefix, None],
    )
    last = read(step, keep=[0, 1])
    return torch.stack([before, last], dim=1).float()


def _some_tokens(model: Any, n: int) -> list[int]:
    n_vocabulary = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(0)
    tokens: list[int] = torch.randint(n_vocabulary, (n,), generator=generator).tolist()
    return tokens


def _is_exact(model: Any) -> bool:
    return model.dtype == torch.float32 and getattr(model, "quantization_method", None) is None
