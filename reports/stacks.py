"""What a stack lab found, as tables and a page with heat maps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalcore.records import utc_now
from evalcore.stacking.records import StackReport, TaskEffects
from evalcore.stacking.words import amount, amount_with_interval, findings
from leaderboards.rounding import number, p_value
from reports.templating import environment

__all__ = [
    "HeatCell",
    "HeatMap",
    "full_rows",
    "geometry_rows",
    "heat_map",
    "pair_rows",
    "score_rows",
    "stack_page",
    "task_rows",
    "weight_rows",
]

Rows = list[dict[str, str]]

_CELL, _ROW = 92.0, 40.0
_LETTER = 7.2
_TOP = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """A square of a heat map, in the drawing's units."""

    x: float
    y: float
    text: str
    tone: str
    """``good``, ``bad``, ``own`` (an adapter's contribution, on the diagonal) or ``none``."""
    strength: float
    """Share of the map's greatest value, in [0, 1]."""
    is_certain: bool
    what: str
    """For those who point at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Interactions of every two adapters on one task; contributions on the diagonal."""

    title: str
    names: tuple[str, ...]
    cells: tuple[HeatCell, ...]
    left: float
    width: float
    height: float
    cell: float = _CELL
    row: float = _ROW
    top: float = _TOP


def stack_page(report: StackReport) -> str:
    """Return a page of HTML that asks for nothing from elsewhere."""
    return (
        environment()
        .get_template("stack.html")
        .render(
            report=report,
            findings=findings(report),
            tables=[(effects, task_rows(report, effects)) for effects in report.effects],
            maps=[heat_map(report, e) for e in report.effects if e.pairs],
            further=[
                ("Pairs", "More together than each alone", pair_rows(report)),
                ("Other weights", "Change from the whole stack", weight_rows(report)),
                ("Changes of the base's weights", "Summed over layers", geometry_rows(report)),
                (
                    f"Against the full fine-tune {report.full}",
                    "With the interval of two one-sided tests",
                    full_rows(report),
                ),
                ("Every variant", "Primary metric with its interval", score_rows(report)),
            ],
            written_utc=utc_now(),
        )
    )


def task_rows(report: StackReport, effects: TaskEffects) -> Rows:
    """One row for each adapter, and one for their sum, the gain of the whole stack."""
    found = zip(report.adapters, effects.shapley, effects.leave_one_out, strict=True)
    rows = [
        {
            "adapter": name,
            "contribution (Shapley)": amount_with_interval(shapley.estimate, effects),
            **(_order_error(effects, shapley.sampling_error) if report.n_orders else {}),
            "lost without it": amount_with_interval(without.estimate, effects),
            "p": p_value(without.p_value).removeprefix("= "),
        }
        for name, shapley, without in found
    ]
    whole = {key: "" for key in rows[0]}
    whole["adapter"] = "whole stack"
    whole["contribution (Shapley)"] = amount_with_interval(effects.gain.estimate, effects)
    whole["p"] = p_value(effects.gain.p_value).removeprefix("= ")
    return [*rows, whole]


def pair_rows(report: StackReport) -> Rows:
    """One row for each pair on each task."""
    return [
        {
            "task": effects.task,
            "pair": f"{pair.first}, {pair.second}",
            "interaction": amount_with_interval(pair.effect.estimate, effects),
            "p, Holm": p_value(pair.adjusted_p_value).removeprefix("= "),
        }
        for effects in report.effects
        for pair in effects.pairs
    ]


def weight_rows(report: StackReport) -> Rows:
    """One row for each adapter and task, one column for each multiple of its weight."""
    rows: Rows = []
    for effects in report.effects:
        for name in report.adapters:
            tried = [tried for tried in effects.weights if tried.adapter == name]
            if tried:
                row = {"task": effects.task, "adapter": name}
                row |= {
                    f"×{one.factor:g}": "the stack"
                    if one.factor == 1.0
                    else amount_with_interval(one.change.estimate, effects)
                    for one in tried
                }
                rows.append(row)
    return rows


def geometry_rows(report: StackReport) -> Rows:
    """One row for each adapter and one for the summed update."""
    if report.geometry is None:
        return []
    found = report.geometry
    rows = [
        {
            "update": size.name,
            "rank": f"{size.rank} of {size.nominal_rank}",
            "norm": f"{size.norm:.4g}",
        }
        for size in (*found.adapters, found.stack)
    ]
    for place, name in enumerate(report.adapters):
        for row, cosines in zip(rows, (*found.cosines, ()), strict=True):
            row[f"cosine with {name}"] = number(cosines[place], 3) if cosines else ""
    return rows


def full_rows(report: StackReport) -> Rows:
    """One row for each task: the stack against the full fine-tune."""
    return [
        {
            "task": effects.task,
            "stack minus full": amount_with_interval(effects.full.difference, effects),
            "p": p_value(effects.full.p_difference).removeprefix("= "),
            "verdict": effects.full.verdict,
            "parity shown from": f"±{number(effects.full.smallest_margin, 4)}",
        }
        for effects in report.tasks
        if effects.full is not None
    ]


def score_rows(report: StackReport) -> Rows:
    """One row for each variant, one column for each task."""
    return [
        {"variant": variant.name}
        | {
            f"{effects.task}, {effects.metric}": f"{number(score.value, 3)} "
            f"[{number(score.low, 3)}, {number(score.high, 3)}]"
            for effects, score in zip(report.tasks, variant.scores, strict=True)
        }
        for variant in report.variants
    ]


def heat_map(report: StackReport, effects: TaskEffects) -> HeatMap:
    """Lay out interactions off the diagonal and contributions on it."""
    names = report.adapters
    left = 12.0 + _LETTER * max(len(name) for name in names)
    values = [abs(pair.effect.estimate.value) for pair in effects.pairs]
    greatest = max((value for value in values if math.isfinite(value)), default=0.0)
    alpha = 1.0 - report.confidence_level
    cells = []
    for place, (name, found) in enumerate(zip(names, effects.shapley, strict=True)):
        cells.append(
            HeatCell(
                x=left + place * _CELL,
                y=_TOP + place * _ROW,
                text=amount(found.estimate.value, effects),
                tone="own",
                strength=0.0,
                is_certain=False,
                what=f"{name}: {amount_with_interval(found.estimate, effects)}",
            )
        )
    for pair in effects.pairs:
        estimate, certain = pair.effect.estimate, pair.adjusted_p_value < alpha
        share = abs(estimate.value) / greatest if greatest else 0.0
        places = (names.index(pair.first), names.index(pair.second))
        for row, column in (places, places[::-1]):
            cells.append(
                HeatCell(
                    x=left + column * _CELL,
                    y=_TOP + row * _ROW,
                    text=amount(estimate.value, effects) + ("*" if certain else ""),
                    tone=_tone(estimate.value, effects),
                    strength=share if math.isfinite(share) else 0.0,
                    is_certain=certain,
                    what=f"{pair.first} and {pair.second}: "
                    f"{amount_with_interval(estimate, effects)}, "
                    f"p {p_value(pair.adjusted_p_value)} after correction",
                )
            )
    return HeatMap(
        title=f"{effects.task}, {effects.metric}",
        names=names,
        cells=tuple(cells),
        left=left,
        width=left + len(names) * _CELL,
        height=_TOP + len(names) * _ROW,
    )


def _tone(value: float, effects: TaskEffects) -> str:
    if math.isnan(value) or value == 0.0:
        return "none"
    return "good" if (value > 0.0) == effects.higher_is_better else "bad"


def _order_error(effects: TaskEffects, error: float) -> dict[str, str]:
    return {"error of sampled orders": amount(error, effects).removeprefix("+")}
