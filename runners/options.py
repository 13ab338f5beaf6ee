"""How a runner works, apart from what it computes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from evalcore.errors import InputError
from runners.endpoint.budget import Budget

__all__ = ["RunnerOptions", "parse_bytes"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerOptions:
    """What a runner may use; it changes log-likelihoods by rounding only."""

    batch_size: int = 64
    """Most sequences that are run together."""
    batch_tokens: int = 4096
    """Most tokens that are run together, padding included; a longer sequence runs alone."""
    engine: Literal["auto", "plain"] = "auto"
    """``auto`` shares what requests have in common where the model allows it; ``plain`` never."""
    memory_bytes: int | None = None
    """Besides the weights; None means half of what is free once they are loaded."""
    budget: Budget | None = None
    """What calls to paid endpoints may cost, all together; None means any amount."""

    def __post_init__(self) -> None:
        """Refuse sizes under 1 and an unknown engine."""
        for name in ("batch_size", "batch_tokens", "memory_bytes"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise InputError(f"{name} must be at least 1; got {size}")
        if self.engine not in ("auto", "plain"):
            raise InputError(f"engine must be auto or plain; got {self.engine!r}")


def parse_bytes(text: str) -> int:
    """Read an amount of memory.

    Parameters
    ----------
    text
        A number with or without a unit: ``4GiB`` and ``4G`` are 4 · 2³⁰ bytes, ``4GB`` is 4 · 10⁹.

    Raises
    ------
    InputError
        For anything else, and for less than a byte.

    Examples
    --------
    >>> parse_bytes("4GiB"), parse_bytes("1.5kB")
    (4294967296, 1500)
    """
    match = _SIZE.fullmatch(text.strip())
    if match is not None:
        number, unit, binary = match.groups()
        is_decimal = not binary and text.strip().upper().endswith("B")
        n_bytes = int(
            float(number) * (1000 if is_decimal else 1024) ** " KMGT".index(unit.upper() or " ")
        )
        if n_bytes >= 1:
            return n_bytes
    raise InputError(f"memory must be an amount such as 4GiB, 500MB or 2G; got {text!r}")
