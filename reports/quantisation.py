"""What a quantisation lab found, as tables and a page with a Pareto plot."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evalcore.quantlab.records import FormReport, QuantReport, TaskChange
from evalcore.quantlab.words import findings
from evalcore.records import Estimate, utc_now
from leaderboards.rounding import number, p_value
from reports.axes import Axis, log_axis
from reports.templating import environment

__all__ = [
    "ParetoPlot",
    "ParetoPoint",
    "cost_rows",
    "pareto_plot",
    "quantisation_page",
    "task_tables",
]

Rows = list[dict[str, str]]

_ITSELF = "by definition"
_WIDTH, _HEIGHT = 560.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 70.0, 150.0, 20.0, 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """A form, in the drawing's units."""

    x: float
    y: float
    low: float
    """Where its interval ends below, as y."""
    high: float
    name: str
    what: str
    """For those who point at it."""
    is_dominated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPlot:
    """Divergence against memory; a line joins the forms that no other one beats."""

    points: tuple[ParetoPoint, ...]
    frontier: str
    """Points of the line, as SVG has them."""
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    width: float = _WIDTH
    height: float = _HEIGHT
    left: float = _LEFT
    right: float = _WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = _HEIGHT - _BOTTOM


def quantisation_page(report: QuantReport) -> str:
    """Return a page of HTML that asks for nothing from elsewhere."""
    return (
        environment()
        .get_template("quantisation.html")
        .render(
            report=report,
            findings=findings(report),
            plot=pareto_plot(report),
            costs=cost_rows(report),
            changes=task_tables(report),
            written_utc=utc_now(),
        )
    )


def cost_rows(report: QuantReport) -> Rows:
    """One row for each form: how far it is from the reference, and what it takes."""
    return [_costs(form, has_energy=_has_energy(report)) for form in report.forms]


def task_tables(report: QuantReport) -> list[tuple[str, Rows]]:
    """One table for each task, one row for each form, with the task's name and metric."""
    tables = []
    for place, task in enumerate(report.forms[0].tasks):
        better = "more" if task.higher_is_better else "less"
        rows = [_change(form, form.tasks[place]) for form in report.forms]
        tables.append((f"{task.task}, {task.metric}, {better} is better", rows))
    return tables


def pareto_plot(report: QuantReport) -> ParetoPlot | None:
    """Lay out forms by memory and divergence; None where fewer than two can be placed."""
    placed = [
        form
        for form in report.forms
        if math.isfinite(form.weights_bytes) and math.isfinite(form.kl.value) and form.kl.value > 0
    ]
    if not placed:
        return None
    sizes = log_axis([form.weights_bytes / 1e6 for form in placed])
    ends = [end for f in placed for end in (f.kl.value, f.kl.low, f.kl.high)]
    losses = log_axis([end for end in ends if 0.0 < end < math.inf])
    points = [_point(form, sizes, losses) for form in placed]
    best = sorted((p for p in points if not p.is_dominated), key=lambda point: point.x)
    return ParetoPlot(
        points=tuple(points),
        frontier=" ".join(f"{point.x:.1f},{point.y:.1f}" for point in best),
        x_ticks=tuple((_across(sizes, tick), sizes.label(tick)) for tick in sizes.ticks),
        y_ticks=tuple((_down(losses, tick), losses.label(tick)) for tick in losses.ticks),
    )


def _point(form: FormReport, sizes: Axis, losses: Axis) -> ParetoPoint:
    kl = form.kl
    return ParetoPoint(
        x=_across(sizes, form.weights_bytes / 1e6),
        y=_down(losses, kl.value),
        low=_down(losses, kl.low),
        high=_down(losses, kl.high),
        name=form.label,
        what=f"{form.name}: {_megabytes(form.weights_bytes)} MB, KL {_interval(kl)}",
        is_dominated=form.is_dominated,
    )


def _across(axis: Axis, value: float) -> float:
    return _LEFT + axis.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _down(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.share(value) * (_HEIGHT - _TOP - _BOTTOM)


def _costs(form: FormReport, *, has_energy: bool) -> dict[str, str]:
    row = {
        "form": form.label,
        "KL, nats per token": _interval(form.kl),
        "same top": _percent(form.same_top),
        "disk, MB": _megabytes(form.disk_bytes),
        "memory, MB": _megabytes(form.weights_bytes),
    }
    if form.speed is not None:
        row["prefill/s"] = _rate(form.speed.prefill_tokens_per_s)
        row["decode/s"] = _rate(form.speed.decode_tokens_per_s)
        if has_energy:
            joules = form.speed.joules_per_token
            row["joules per token"] = "–" if joules is None else _rate(joules)
    row["beaten"] = "yes" if form.is_dominated else ""
    return row


def _change(form: FormReport, change: TaskChange) -> dict[str, str]:
    row = {"form": form.label, "score": number(change.score.value, 4)}
    is_reference = form.kl.method == _ITSELF
    row["change"] = "" if is_reference else _interval(change.difference, signed=True)
    row["worse, better"] = "" if is_reference else f"{change.n_worse}, {change.n_better}"
    if change.n_changed is not None:
        row["other words"] = "" if is_reference else str(change.n_changed)
    row["p"] = "" if is_reference else p_value(change.p_value).removeprefix("= ")
    row["verdict"] = "" if is_reference else change.verdict
    return row


def _interval(estimate: Estimate, *, signed: bool = False) -> str:
    if math.isnan(estimate.value):
        return "–"
    if estimate.method == _ITSELF:
        return "0"
    texts = [_small(value) for value in (estimate.value, estimate.low, estimate.high)]
    plus = "+" if signed and estimate.value > 0 else ""
    return f"{plus}{texts[0]} [{texts[1]}, {texts[2]}]"


def _small(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.3g}".replace("-", "−")


def _percent(estimate: Estimate) -> str:
    return "–" if math.isnan(estimate.value) else f"{estimate.value:.2%}"


def _rate(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "–"
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.3g} ± {half:.2g}"


def _megabytes(size: float) -> str:
    return "–" if math.isnan(size) else f"{size / 1e6:.1f}"


def _has_energy(report: QuantReport) -> bool:
    return any(form.speed and form.speed.joules_per_token for form in report.forms)
