"""What each variant takes: money, memory, time, energy."""

from __future__ import annotations

import math

from evalcore.records import EvalRun
from evalcore.store import Store
from leaderboards.records import Cost
from leaderboards.selection import Selection

__all__ = ["costs_of"]


def costs_of(selection: Selection, store: Store) -> dict[str, Cost]:
    """Gather costs by fingerprint; what nobody knows is nan."""
    paid = store.api_costs()
    return {
        fingerprint: _cost(
            [runs[fingerprint] for runs in selection.runs.values() if fingerprint in runs],
            training_usd=spec.training_cost_usd,
            api_usd=paid.get(fingerprint),
        )
        for fingerprint, spec in selection.models.items()
    }


def _cost(runs: list[EvalRun], *, training_usd: float | None, api_usd: float | None) -> Cost:
    work = [run.efficiency for run in runs]
    decode_s, prefill_s = sum(one.decode_s for one in work), sum(one.prefill_s for one in work)
    return Cost(
        training_usd=_known(training_usd),
        api_usd=_known(api_usd),
        disk_bytes=max((one.size_on_disk_bytes for one in work), default=0) or math.nan,
        memory_bytes=max((one.peak_memory_bytes for one in work), default=0) or math.nan,
        decode_tokens_per_s=sum(one.decode_tokens for one in work) / decode_s
        if decode_s
        else math.nan,
        prefill_tokens_per_s=sum(one.prefill_tokens for one in work) / prefill_s
        if prefill_s
        else math.nan,
        joules_per_token=math.nan,
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value
