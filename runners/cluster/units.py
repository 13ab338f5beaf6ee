"""Cutting requests into parts that are computed together, and parts into units of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from evalcore.protocols import GenerateRequest, LoglikelihoodRequest, Prompt, Request

__all__ = ["Part", "UnitSizes", "cut_by_text", "join_parts"]

_UNITS_PER_WORKER: Final = 8
"""At least, where there are parts enough: then the last ones end at about the same time."""

Part = Sequence[int]
"""Positions of requests that are computed together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSizes:
    """How much a worker is given at once, and has to do again if it is lost."""

    part_requests: int = 64
    """Of a part that is cut by text."""
    parts: int = 16
    """Most of a unit."""


def cut_by_text(requests: Sequence[Request], *, size: int) -> list[list[int]]:
    """Cut requests into parts of at most ``size``, those that begin alike together.

    Requests are sorted by their text. Of the ends that leave a part at least half full, the one is
    taken after which the least is shared with the next request.
    """
    texts = [_text(request) for request in requests]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    parts = []
    start = 0
    while start < len(order):
        stop = min(start + size, len(order))
        if stop < len(order):
            ends = range(start + (size + 1) // 2, stop + 1)
            stop = min(ends, key=lambda end: _n_common(texts[order[end - 1]], texts[order[end]]))
        parts.append(order[start:stop])
        start = stop
    return parts


def join_parts(parts: Sequence[Part], *, n_workers: int, most: int) -> list[list[Part]]:
    """Join neighbouring parts into units: several for each worker, if there are enough parts."""
    size = max(1, min(most, len(parts) // (_UNITS_PER_WORKER * max(1, n_workers))))
    return [list(parts[start : start + size]) for start in range(0, len(parts), size)]


def _n_common(one: str, other: str) -> int:
    """Count the characters at the beginning that two texts share, by halves: texts are long."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[:middle]):
            low = middle
        else:
            high = middle - 1
    return low


def _text(request: Request) -> str:
    if isinstance(request, GenerateRequest):
        return _flat(request.prompt)
    if isinstance(request, LoglikelihoodRequest):
        return _flat(request.context) + request.continuation
    return request.text


def _flat(prompt: Prompt) -> str:
    if isinstance(prompt, str):
        return prompt
    return "".join(f"{message.role}\n{message.content}\n" for message in prompt)
