"""What a stack lab found, in words."""

from __future__ import annotations

import math

from evalcore.records import Estimate
from evalcore.stacking.records import PairEffect, StackReport, TaskEffects
from evalcore.stats.contributions import Contribution

__all__ = ["amount", "amount_with_interval", "findings", "summary"]

_PAIRS_TOLD = 3


def summary(report: StackReport) -> str:
    """Say what was found in one line."""
    return "; ".join(findings(report)) + "."


def findings(report: StackReport) -> list[str]:
    """Say what each adapter contributes, then which pairs certainly do not just add up.

    Of the pairs the three with the largest effects are told; a comparison with a full fine-tune
    comes last.
    """
    effects = report.effects[0]
    contributions = [
        _contribution(name, found, effects)
        for name, found in zip(report.adapters, effects.shapley, strict=True)
    ]
    alpha = 1.0 - report.confidence_level
    certain = [
        (task, pair)
        for task in report.tasks
        for pair in task.pairs
        if pair.adjusted_p_value < alpha
    ]
    certain.sort(key=lambda item: (not item[0].is_share, -abs(item[1].effect.estimate.value)))
    return [
        f"{report.stack}, {effects.task}: {'; '.join(contributions)}",
        *(_pair(pair, task) for task, pair in certain[:_PAIRS_TOLD]),
        *(
            f"on {task.task} the stack against {report.full}: {task.full.verdict}"
            for task in report.tasks
            if task.full
        ),
    ]


def amount(value: float, effects: TaskEffects) -> str:
    """Write a contribution in points of a hundred, or in the metric's unit; a dash for nan."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{100.0 * value:+.1f}" if effects.is_share else f"{value:+.3g}"
    return text.replace("-", "−") if float(text) else text.lstrip("+-")


def amount_with_interval(estimate: Estimate, effects: TaskEffects) -> str:
    """Write a contribution with its interval, such as ``+38.0 [+35.1, +40.9]``."""
    ends = (amount(end, effects) for end in (estimate.low, estimate.high))
    return f"{amount(estimate.value, effects)} [{', '.join(ends)}]"


def _contribution(name: str, found: Contribution, effects: TaskEffects) -> str:
    estimate = found.estimate
    if math.isnan(estimate.value):
        return f"{name} can't be scored"
    if effects.is_share:
        takes = estimate.value < 0.0
        ends = (-estimate.high, -estimate.low) if takes else (estimate.low, estimate.high)
        low, high = (amount(end, effects).removeprefix("+") for end in ends)
        size = amount(abs(estimate.value), effects).removeprefix("+")
        said = f"{name} {'takes' if takes else 'adds'} {size} points ({low} to {high})"
    else:
        low, high = (amount(end, effects) for end in (estimate.low, estimate.high))
        change = amount(estimate.value, effects)
        said = f"{name} changes {effects.metric} by {change} ({low} to {high})"
    return said + (", which may be chance" if estimate.low <= 0.0 <= estimate.high else "")


def _pair(pair: PairEffect, effects: TaskEffects) -> str:
    value = pair.effect.estimate.value
    both = f"{pair.first} and {pair.second}"
    if not effects.is_share:
        return (
            f"{both} together change {effects.metric} by {amount(value, effects)} more than each "
            f"alone on {effects.task}"
        )
    size = amount(abs(value), effects).removeprefix("+")
    if value < 0.0:
        return f"{both} take {size} points from each other on {effects.task}"
    return f"{both} add {size} points more together than each alone on {effects.task}"
