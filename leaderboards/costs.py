"""What each variant takes: money, memory, time, energy."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evalcore.store import Store
from leaderboards.records import Cost
from leaderboards.task_runs import Result

__all__ = ["costs_of"]


def costs_of(results: Mapping[str, Result], store: Store) -> dict[str, Cost]:
    """Gather costs by fingerprint; what nobody knows is nan."""
    paid = store.api_costs()
    return {
        fingerprint: Cost(
            training_usd=_known(model.training_cost_usd),
            training_flops=_known(model.training_flops),
            api_usd=_known(paid.get(fingerprint)),
            disk_bytes=work.size_on_disk_bytes or math.nan,
            memory_bytes=work.peak_memory_bytes or math.nan,
            decode_tokens_per_s=work.decode_tokens_per_s,
            prefill_tokens_per_s=work.prefill_tokens_per_s,
            joules_per_token=work.joules_per_token,
        )
        for fingerprint, (model, _metrics, work) in results.items()
    }


def _known(value: float | None) -> float:
    return math.nan if value is None else value
