"""How a runner works, apart from what it computes."""

from __future__ import annotations

from dataclasses import dataclass

from evalcore.errors import InputError

__all__ = ["RunnerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """Sizes of batches; they change log-likelihoods by rounding only."""

    batch_size: int = 16
    """Most sequences that are run together."""
    batch_tokens: int = 4096
    """Most tokens that are run together, padding included; a longer sequence runs alone."""

    def __post_init__(self) -> None:
        """Refuse sizes under 1."""
        for name in ("batch_size", "batch_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1; got {getattr(self, name)}")
