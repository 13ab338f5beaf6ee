"""What adapters and quantisation do to a model, task by task."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalcore.records import ModelSpec, Standing
from leaderboards.records import Column, Leaderboard

__all__ = ["Effect", "EffectCell", "effects", "reference_of"]

_PLAIN_PRECISION = ("float32", None, "bfloat16", "float16")


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectCell:
    """The change of one task's metric."""

    difference: float
    """Variant minus reference."""
    significant: bool
    is_better: bool
    """Whether the variant has the better value."""
    strength: float
    """Share of the greatest change on the same scale, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A variant against what it was made from."""

    variant: Standing
    reference: Standing
    kind: Literal["adapters", "precision"]
    cells: tuple[EffectCell | None, ...]
    """By column of the leaderboard; None where one of both has no value."""


def effects(leaderboard: Leaderboard) -> list[Effect]:
    """Compare each variant on the board with the one it was made from, where both are there.

    A stack of adapters is compared with its base in the same precision; a quantised or shortened
    model with the same stack in full precision.
    """
    found = []
    for variant in leaderboard.standings:
        for kind in ("adapters", "precision"):
            reference = reference_of(variant, leaderboard.standings, kind=kind)
            if reference is not None:
                cells = _cells(leaderboard, variant, reference)
                found.append(Effect(variant=variant, reference=reference, kind=kind, cells=cells))
    return _with_strength(found, leaderboard.columns)


def reference_of(
    variant: Standing, standings: Sequence[Standing], *, kind: Literal["adapters", "precision"]
) -> Standing | None:
    """Find what a variant was made from; None if it isn't there or there is nothing to compare."""
    if kind == "adapters":
        if not variant.model.adapters:
            return None
        plain = variant.model.with_adapters(())
        return next((item for item in standings if _same(item.model, plain)), None)
    for dtype in _PLAIN_PRECISION:
        plain = replace(variant.model, quantization=None, dtype=dtype)
        if _same(variant.model, plain):
            return None
        for item in standings:
            if _same(item.model, plain):
                return item
    return None


def _same(first: ModelSpec, second: ModelSpec) -> bool:
    return first.fingerprint == second.fingerprint


def _cells(
    leaderboard: Leaderboard, variant: Standing, reference: Standing
) -> tuple[EffectCell | None, ...]:
    return tuple(_cell(column, variant, reference) for column in leaderboard.columns)


def _cell(column: Column, variant: Standing, reference: Standing) -> EffectCell | None:
    after = variant.metrics.get(column.key)
    before = reference.metrics.get(column.key)
    pair = column.pair(variant.model.fingerprint, reference.model.fingerprint)
    if after is None or before is None or pair is None:
        return None
    difference = after.value - before.value
    if math.isnan(difference):
        return None
    return EffectCell(
        difference=difference,
        significant=pair.significant,
        is_better=(difference > 0) == column.higher_is_better,
        strength=0.0,
    )


def _with_strength(found: Sequence[Effect], columns: Sequence[Column]) -> list[Effect]:
    """Scale changes by the greatest one: of all tasks in the rating, or of a column by itself."""
    greatest = [
        max((abs(cell.difference) for cell in _in_column(found, place)), default=0.0)
        for place in range(len(columns))
    ]
    shared = max((g for g, c in zip(greatest, columns, strict=True) if c.in_rating), default=0.0)
    scale = [shared if c.in_rating else g for g, c in zip(greatest, columns, strict=True)]
    return [
        replace(
            effect,
            cells=tuple(
                cell and replace(cell, strength=abs(cell.difference) / unit if unit else 0.0)
                for cell, unit in zip(effect.cells, scale, strict=True)
            ),
        )
        for effect in found
    ]


def _in_column(found: Sequence[Effect], place: int) -> Iterator[EffectCell]:
    for effect in found:
        cell = effect.cells[place]
        if cell is not None:
            yield cell
